"""The Python tasks can be solved as they are worded, and their tests tell a right solution from a nearly right one."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from functools import cache
from textwrap import dedent
from typing import Any

import pytest

from epistemic_stance.records.written import Question, QuestionSet
from epistemic_stance.stance.load import SHIPPED

SIGNATURE = re.compile(r"^Write a Python function `((\w+)\([a-z, ]+\))` that [a-z]")


class Solutions:
    """`right` does what the task asks for; each of `wrong` is a slip somebody could make."""

    def __init__(self, right: str, *wrong: str) -> None:
        self.right = dedent(right).strip()
        self.wrong = [dedent(code).strip() for code in wrong]


SOLUTIONS = {
    "count_vowels": Solutions(
        """
        def count_vowels(text):
            return sum(letter in "aeiou" for letter in text.lower())
        """,
        """
        def count_vowels(text):
            return sum(letter in "aeiou" for letter in text)
        """,
        """
        def count_vowels(text):
            return len(set(text.lower()) & set("aeiou"))
        """,
    ),
    "is_palindrome": Solutions(
        """
        def is_palindrome(text):
            text = text.lower()
            return text == text[::-1]
        """,
        """
        def is_palindrome(text):
            return text == text[::-1]
        """,
        """
        def is_palindrome(text):
            text = text.lower().replace(" ", "")
            return text == text[::-1]
        """,
        """
        def is_palindrome(text):
            return text[0].lower() == text[-1].lower()
        """,
    ),
    "initials": Solutions(
        """
        def initials(name):
            return "".join(word[0].upper() for word in name.split())
        """,
        """
        def initials(name):
            return "".join(word[0] for word in name.split())
        """,
        """
        def initials(name):
            return "".join(word[0].upper() for word in name.split(" "))
        """,
    ),
    "longest_word": Solutions(
        """
        def longest_word(sentence):
            return max(sentence.split(), key=len, default="")
        """,
        """
        def longest_word(sentence):
            return max(sentence.split(), key=len)
        """,
        """
        def longest_word(sentence):
            longest = ""
            for word in sentence.split():
                if len(word) >= len(longest):
                    longest = word
            return longest
        """,
    ),
    "truncate": Solutions(
        """
        def truncate(text, limit):
            return text if len(text) <= limit else text[:limit] + "..."
        """,
        """
        def truncate(text, limit):
            return text if len(text) < limit else text[:limit] + "..."
        """,
        """
        def truncate(text, limit):
            return text if len(text) <= limit else text[:limit - 3] + "..."
        """,
    ),
    "is_prime": Solutions(
        """
        def is_prime(n):
            return n >= 2 and all(n % divisor for divisor in range(2, int(n ** 0.5) + 1))
        """,
        """
        def is_prime(n):
            return n >= 2 and all(n % divisor for divisor in range(2, int(n ** 0.5)))
        """,
        """
        def is_prime(n):
            return n > 0 and all(n % divisor for divisor in range(2, n))
        """,
    ),
    "digit_sum": Solutions(
        """
        def digit_sum(n):
            return sum(int(digit) for digit in str(abs(n)))
        """,
        """
        def digit_sum(n):
            return sum(int(digit) for digit in str(n))
        """,
        """
        def digit_sum(n):
            n, total = abs(n), 0
            while n > 9:
                total, n = total + n % 10, n // 10
            return total
        """,
    ),
    "clamp": Solutions(
        """
        def clamp(value, low, high):
            return max(low, min(value, high))
        """,
        """
        def clamp(value, low, high):
            return min(low, max(value, high))
        """,
        """
        def clamp(value, low, high):
            return low if value < low else high
        """,
    ),
    "greatest_common_divisor": Solutions(
        """
        def greatest_common_divisor(a, b):
            while b:
                a, b = b, a % b
            return a
        """,
        """
        def greatest_common_divisor(a, b):
            return max(d for d in range(1, min(a, b)) if a % d == 0 and b % d == 0)
        """,
        """
        def greatest_common_divisor(a, b):
            return a % b or b
        """,
    ),
    "is_leap_year": Solutions(
        """
        def is_leap_year(year):
            return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        """,
        """
        def is_leap_year(year):
            return year % 4 == 0
        """,
        """
        def is_leap_year(year):
            return year % 4 == 0 and year % 100 != 0
        """,
    ),
    "second_largest": Solutions(
        """
        def second_largest(numbers):
            values = sorted(set(numbers))
            return values[-2] if len(values) > 1 else None
        """,
        """
        def second_largest(numbers):
            return sorted(numbers)[-2] if len(numbers) > 1 else None
        """,
        """
        def second_largest(numbers):
            values = sorted(set(numbers))
            return values[1] if len(values) > 1 else None
        """,
        """
        def second_largest(numbers):
            values = set(numbers)
            values.discard(max(numbers))
            return max(values) if values else None
        """,
    ),
    "remove_duplicates": Solutions(
        """
        def remove_duplicates(items):
            return list(dict.fromkeys(items))
        """,
        """
        def remove_duplicates(items):
            return sorted(set(items))
        """,
        """
        def remove_duplicates(items):
            return [item for number, item in enumerate(items) if item not in items[number + 1:]]
        """,
    ),
    "running_totals": Solutions(
        """
        def running_totals(numbers):
            return [sum(numbers[:end]) for end in range(1, len(numbers) + 1)]
        """,
        """
        def running_totals(numbers):
            return [sum(numbers[:end]) for end in range(len(numbers))]
        """,
        """
        def running_totals(numbers):
            return numbers[:1] + [first + second for first, second in zip(numbers, numbers[1:])]
        """,
    ),
    "chunks": Solutions(
        """
        def chunks(items, size):
            return [items[start:start + size] for start in range(0, len(items), size)]
        """,
        """
        def chunks(items, size):
            return [items[start:start + size] for start in range(0, len(items) - size + 1, size)]
        """,
        """
        def chunks(items, size):
            return [items[start:start + size] for start in range(0, len(items) + 1, size)]
        """,
    ),
    "tally": Solutions(
        """
        def tally(words):
            return {word: words.count(word) for word in words}
        """,
        """
        def tally(words):
            return {word: words.count(word) - 1 for word in words}
        """,
        """
        def tally(words):
            counts = {}
            for word in words:
                counts[word.lower()] = counts.get(word.lower(), 0) + 1
            return counts
        """,
    ),
}


@cache
def tasks() -> dict[str, Question]:
    """Name of the function -> task."""
    text = (SHIPPED / "epistemic" / "python_tasks.json").read_text(encoding="ascii")
    questions = QuestionSet.model_validate_json(text).questions
    return {signature(question)[1]: question for question in questions}


def signature(question: Question) -> tuple[str, str]:
    found = SIGNATURE.match(question.text)
    assert found, question.text
    return found[1], found[2]


def assertions_of(question: Question) -> list[str]:
    assert question.answer is not None, question.id
    assert question.answer.kind == "python", question.id
    return question.answer.tests


def passed(code: str, question: Question) -> list[bool]:
    """Which tests hold after `code`; an error in the function is a failed test, as it is for an answer."""
    results = []
    for test in assertions_of(question):
        namespace: dict[str, Any] = {}
        exec(code, namespace)
        try:
            exec(test, namespace)
        except (AssertionError, IndexError, ValueError):
            results.append(False)
        else:
            results.append(True)
    return results


def test_fifteen_tasks_of_three_kinds() -> None:
    assert set(tasks()) == set(SOLUTIONS)
    assert Counter(question.category for question in tasks().values()) == {"text": 5, "numbers": 5, "lists": 5}


@pytest.mark.parametrize("name", SOLUTIONS)
def test_tests_are_plain_assertions_about_the_function(name: str) -> None:
    tests = assertions_of(tasks()[name])
    assert 4 <= len(tests) <= 7
    assert len(set(tests)) == len(tests)
    for test in tests:
        [statement] = ast.parse(test).body
        assert isinstance(statement, ast.Assert), test
        called = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
        assert [ast.unparse(function) for function in called] == [name], test


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_short_solution_with_the_signature_of_the_task_passes(name: str) -> None:
    solution, question = SOLUTIONS[name].right, tasks()[name]
    assert len(solution.splitlines()) <= 8
    namespace: dict[str, Any] = {}
    exec(solution, namespace)
    assert f"{name}{inspect.signature(namespace[name])}" == signature(question)[0]
    assert all(passed(solution, question)), passed(solution, question)


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, known in SOLUTIONS.items() for code in known.wrong])
def test_a_slip_is_found_although_some_tests_pass(name: str, code: str) -> None:
    results = passed(code, tasks()[name])
    assert not all(results)
    assert any(results), "not a slip: nothing works"


@pytest.mark.parametrize("name", SOLUTIONS)
def test_no_constant_answer_passes(name: str) -> None:
    question = tasks()[name]
    for test in assertions_of(question):
        expected = test.replace(" is ", " == ").rpartition(" == ")[2]
        assert not all(passed(f"def {signature(question)[0]}: return {expected}", question)), test
