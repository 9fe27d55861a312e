"""Code in answers: what is taken for it, what is refused unrun, and how the rest is graded."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.records.analysis import Grade
from epistemic_stance.scoring.grading import python_answers
from epistemic_stance.scoring.grading.confined import MODULES, Outcome
from epistemic_stance.scoring.grading.python_answers import (
    FENCE,
    LONGEST_CODE,
    OPENS_CODE,
    extract_code,
    grade_python,
    refusal,
)

SQUARE = "def square(x):\n    return x * x"
TESTS = ("assert square(3) == 9", "assert square(-2) == 4")

CODE: dict[str, tuple[str, str | None]] = {
    "a block": (f"Sure!\n```python\n{SQUARE}\n```\nIt multiplies x by itself.", SQUARE),
    "short name": (f"```py\n{SQUARE}\n```", SQUARE),
    "name in capitals": (f"```Python\n{SQUARE}\n```", SQUARE),
    "no language": (f"```\n{SQUARE}\n```", SQUARE),
    "tildes": (f"~~~python\n{SQUARE}\n~~~", SQUARE),
    "carriage returns": (f"```python\r\n{SQUARE}\r\n```\r\n".replace("x):\n", "x):\r\n"), SQUARE),
    "in a list, indented": ("1. So:\n   ```python\n   def square(x):\n       return x * x\n   ```", SQUARE),
    "no block": (SQUARE, SQUARE),
    "no block, prose around": (f"Here it is:\n\n{SQUARE}\n\nThis doesn't use `**`.", f"{SQUARE}\n"),
    "import first": (f"import math\n\n{SQUARE}", f"import math\n\n{SQUARE}"),
    "from first": (f"from math import pi\n{SQUARE}", f"from math import pi\n{SQUARE}"),
    "not ended": (f"```python\n{SQUARE}\n", f"{SQUARE}\n"),
    "not ended, next opened": (f"```python\n{SQUARE}\n```python\nprint(1)\n```", SQUARE),
    "cut off inside": ("```python\ndef square(x):\n    return (x *", None),
    "cut off, unfenced": ("def square(x):\n    return (x *", None),
    "cut off before the body": ("def square(x):\n", None),
    "whole block, then one cut off": (f"```python\n{SQUARE}\n```\n```python\ndef cube(x):\n    return (", SQUARE),
    "example of use after it": (f"```python\n{SQUARE}\n```\n```python\nprint(square(2))\n```", SQUARE),
    "helper and function": (
        "```\ndef a(): return 1\n```\n```\ndef b(): return a()\n```",
        "def a(): return 1\ndef b(): return a()",
    ),
    "lambda": ("```\nsquare = lambda x: x * x\n```\n```\nsquare(2)\n```", "square = lambda x: x * x"),
    "shell before it": (f"```bash\npip install x\n```\n```python\n{SQUARE}\n```", SQUARE),
    "output after it": (f"```python\n{SQUARE}\n```\n```\n9\n```", SQUARE),
    "no definition at all": ("```python\nx = 1\n```\n```python\ny = 2\n```", "x = 1\ny = 2"),
    "another language": ("```javascript\nfunction square(x) { return x * x }\n```", None),
    "invalid escape": ('```python\ndef f(): return "\\d"\n```', 'def f(): return "\\d"'),
    "prose": ("You could import the module and define a function.", None),
    "prose that starts with from": ("from my point of view it is simple", None),
    "inline": ("Use ```x * x``` for that.\nNothing more.", None),
    "empty block": ("```python\n```", None),
    "empty": ("", None),
    "zero byte": ("```python\nx = '\0'\n```", None),
    "half a pair": ("```python\nx = '\ud800'\n```", None),
    "too long": (f"```python\n{SQUARE}\n{'#' * LONGEST_CODE}\n```", None),
}


@pytest.mark.parametrize("name", CODE)
def test_the_code_in_an_answer_is_found(name: str) -> None:
    answer, code = CODE[name]
    assert extract_code(answer) == code


MILLION = 1_000_000
HARD = {
    "parentheses": "(" * MILLION,
    "minus signs": "def f(): return " + "-" * (LONGEST_CODE - 100) + "1",
    "not not not": "def f(): return " + "not " * 4000 + "1",
    "attributes": "def f(): return a" + ".a" * 9000,
    "additions": "def f(): return 1" + "+1" * 9000,
    "nested lists": "x = " + "[" * 99 + "]" * 99,
    "deep indentation": "".join(" " * depth + "if x:\n" for depth in range(99)) + " " * 99 + "pass",
    "backticks": "`" * MILLION,
    "fences": "```\n" * (MILLION // 4),
    "small blocks": "```\nx\n```\n" * (MILLION // 10),
    "blanks": " " * MILLION,
    "blank lines in a block": "```\n" + (" " * 99 + "\n") * (MILLION // 100),
    "lines": "def f(): pass\n" + "a\n" * (MILLION // 2),
    "definitions": "def f\n" * (MILLION // 6),
    "open strings": "def f(): pass\n" + '"""' * (MILLION // 3),
    "letters": "a" * MILLION,
    "emoji": "\U0001f600" * (MILLION // 4),
}


@pytest.mark.parametrize("fence", ["", "```python\n"])
@pytest.mark.parametrize("name", HARD)
def test_a_hostile_answer_is_read_within_seconds(name: str, fence: str) -> None:
    started = time.process_time()
    code = extract_code(fence + HARD[name])
    if code is not None:
        refusal(code)
    assert time.process_time() - started < 3


LINE = 100_000
QUADRATIC = {
    "tildes, then a backtick": "~" * LINE + "`",
    "backticks, then another": "`" * LINE + "x`",
    "blanks, then a backtick": "~~~" + " " * LINE + "`",
    "tabs, then a backtick": "```" + "\t" * LINE + "`",
    "a long name, then a backtick": "```" + "a" * LINE + "`",
    "all in turn, then a backtick": "~" * (LINE // 4)
    + " \t" * (LINE // 8)
    + "a." * (LINE // 8)
    + " x" * (LINE // 8)
    + "`",
    "blanks before it": " " * LINE + "```",
    "definition without an end": "def " + "a" * LINE,
    "import without an end": "from " + "a." * (LINE // 2),
}


@pytest.mark.parametrize("pattern", [FENCE, OPENS_CODE], ids=["fence", "code"])
@pytest.mark.parametrize("name", QUADRATIC)
def test_a_long_line_takes_linear_time(name: str, pattern: re.Pattern[str]) -> None:
    started = time.process_time()
    pattern.fullmatch(QUADRATIC[name])
    pattern.match(QUADRATIC[name])
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("name", QUADRATIC)
def test_an_answer_of_a_long_line_is_read_at_once(name: str) -> None:
    started = time.process_time()
    extract_code(QUADRATIC[name])
    assert time.process_time() - started < 0.1


FENCES = {
    "```": "",
    "~~~~": "",
    "  ```python": "python",
    "~~~~ \tc++ title=x": "c++",
    "``` {.python}": "",
    "~~~ ~~~": "",
    "``": None,
    "~~": None,
    "```x```": None,
    "~~~ a`b": None,
    "x ```": None,
    " " * 13 + "```": None,
}


@pytest.mark.parametrize("line", FENCES)
def test_what_opens_a_block(line: str) -> None:
    fence = FENCE.fullmatch(line)
    assert (fence and fence["language"]) == FENCES[line]


@given(st.text(alphabet=st.sampled_from("`~ \ta.+-{"), max_size=30))
def test_a_fence_that_gives_nothing_back_is_the_same_fence(line: str) -> None:
    fence, slow = FENCE.fullmatch(line), re.fullmatch(FENCE.pattern.replace("++", "+").replace("*+", "*"), line)
    assert (fence and fence["language"]) == (slow and slow["language"])


@given(st.text(alphabet=st.sampled_from("`~ \n\tdefimport:()=x1'\"\\#@[,]\r\x00\u2028"), max_size=400))
def test_whatever_is_found_parses_and_can_be_screened(answer: str) -> None:
    code = extract_code(answer)
    if code is not None:
        compile(code, "answer", "exec", 0x400)  # PyCF_ONLY_AST
        refusal(code)


REFUSED = {
    "import os": "imports os",
    "import math, os.path": "imports os.path",
    "def f():\n    from sys import argv": "imports sys",
    "from . import x": "imports .",
    "from .math import x": "imports .math",
    "import random": "imports random",
    "open('x')": "uses open",
    "def f():\n    return eval('1')": "uses eval",
    "g = exec": "uses exec",
    "x = __import__('os')": "uses __import__",
    "compile('1', '', 'eval')": "uses compile",
    "n = int(input())": "uses input",
    "().__class__.__bases__": "uses __bases__",
    "f.__globals__['x']": "uses __globals__",
}


@pytest.mark.parametrize("code", REFUSED)
def test_code_that_names_what_no_task_needs_is_refused_unrun(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(code: str, tests: object) -> Outcome:
        raise AssertionError("it was run")

    monkeypatch.setattr(python_answers, "run_tests", never)
    assert refusal(code) == REFUSED[code]
    assert grade_python(f"```\n{code}\n```", TESTS) == ("unparsed", f"not run: the code {REFUSED[code]}")


@pytest.mark.parametrize(
    "code",
    [
        *(f"import {module}" for module in MODULES),
        "from collections.abc import Sequence",
        "from __future__ import annotations",
        "class A(list):\n    def __init__(self):\n        super().__init__()\n    def __len__(self):\n        return 1",
        "re.compile('x').match('x')",
        "if __name__ == '__main__':\n    print(1)",
    ],
)
def test_ordinary_code_is_not_refused(code: str) -> None:
    assert refusal(code) is None


GRADED: dict[str, tuple[str, Grade, str]] = {
    "right": (f"```python\n{SQUARE}\n```", "right", ""),
    "wrong value": ("```python\ndef square(x):\n    return 2 * x\n```", "wrong", "test 1 failed"),
    "right once": ("def square(x):\n    return 9", "wrong", "test 2 failed"),
    "prints instead": ("def square(x):\n    print(x * x)", "wrong", "test 1 failed"),
    "raises": ("def square(x):\n    return y * y", "wrong", "test 1: the code raised NameError"),
    "raises at once": (f"{SQUARE}\nsquare()", "wrong", "the code raised TypeError"),
    "another name": ("def sqr(x):\n    return x * x", "wrong", "test 1: the code raised NameError"),
    "example of use in it": (f"```python\n{SQUARE}\nprint(square(2))\n```", "right", ""),
    "uses imports": ("import math\ndef square(x):\n    return int(math.pow(x, 2))", "right", ""),
    "no code": ("x times x", "unparsed", "no code that parses"),
    "refusal": ("I'm sorry, but I can't help with that.", "unparsed", "no code that parses"),
}


@pytest.mark.parametrize("name", GRADED)
def test_an_answer_is_graded_by_what_its_code_does(name: str) -> None:
    answer, grade, reason = GRADED[name]
    assert grade_python(answer, TESTS) == (grade, reason)


def test_the_same_code_is_run_once_for_the_same_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[str, ...]] = []

    def run_tests(code: str, tests: tuple[str, ...]) -> Outcome:
        runs.append(tests)
        return Outcome(passed=True, reason="", exposed=())

    monkeypatch.setattr(python_answers, "run_tests", run_tests)
    code = "def once(): return 'never run elsewhere'"
    for answer in (code, f"Here:\n```\n{code}\n```", code):
        assert grade_python(answer, ["assert once()"]) == ("right", "")
    grade_python(code, ["assert not once()"])
    assert runs == [("assert once()",), ("assert not once()",)]
