"""Find what an answer does: the rules of a stance's patterns, run sentence by sentence.

All expressions are RE2: time is linear in the text whatever the rule and whatever a model wrote, and one pass over a
sentence says which of all the rules can match at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from epistemic_stance.analysis.text import Answer, Sentence, normalised, read_answer
from epistemic_stance.errors import InputError, Problem
from epistemic_stance.records.written import Example, Pattern, Rule
from epistemic_stance.stance import PatternSource, Stance

MEMORY = 256 * 2**20
"""Bytes that RE2 may use for the automaton of all rules together; too few make it slow, not wrong."""
OPENING_SENTENCES = 2
VOCABULARY_NAME = re.compile(r"(?<!\\)\{([a-z][a-z0-9_]*)\}")
NEGATION = re2.compile(
    r"(?:\b(?:not|never|no longer|cannot|without|neither|nor|rather than|instead of|avoid|refuse to|refrain from"
    r"|stop|hardly)\b|n't\b)(?:\W+\w+){0,6}\W*$"
)
CLAUSE_START = re2.compile(r".*(?:[,;:()]| - | (?:but|however|although|though|while|because|so|and yet)\b)")
REPORTED = re2.compile(
    r"\b(?:(?:some|many|most|other|those|such|these|all|few|certain|several|the|a|an|my|your|its|their)\s+(?:\w+\s+){0,3})?"
    r"(?:people|users|others|everyone|critics|skeptics|sceptics|philosophers|scientists|researchers|experts|chatbots|"
    r"bots|assistants|models|systems|programs|ais|machines|you|they|he|she|we|one|someone|somebody|who|article|book|"
    r"paper|film|movie|character|robot|chatbot|assistant|friend|teacher|colleague)\s+(?:\w+\s+){0,3}?"
    r"(?:say|says|said|saying|claim|claims|claimed|insist|insists|insisted|argue|argues|argued|believe|believes|"
    r"believed|think|thinks|thought|told|tells|suggest|suggests|suggested|write|writes|wrote|assume|assumes|assumed|"
    r"reply|replies|replied|answer|answers|answered|repeat|repeats|recite|recites|want me to say)\b(?:\W+\w+){0,3}\W*$"
    r"|\b(?:if|when|whenever|suppose|imagine|pretend)\s+(?:i|you|someone|somebody|we)\s+(?:\w+\s+){0,3}?"
    r"(?:say|said|claim|claimed|tell|told|answer|answered|were to say)\b(?:\W+\w+){0,3}\W*$"
    r"|\b(?:phrase|phrases|sentence|sentences|words|word|line|lines|formula|slogan|title|example)\b(?:\W+\w+){0,2}\W*$"
)
"""Somebody else's statement, a supposed one, or one that is quoted as words, up to the match."""


@dataclass(frozen=True)
class Hit:
    """A rule that matched, and where in the answer as it was written."""

    pattern: str
    rule: str
    start: int
    end: int


@dataclass(frozen=True)
class _Context:
    """What a rule may ask about besides its sentence."""

    answer: Answer
    question: str
    category: str | None


@dataclass(frozen=True)
class _CompiledRule:
    rule: Rule
    pattern: Pattern
    match: Any
    needs: Any
    unless: Any
    question: Any
    unless_question: Any

    def hit(self, number: int, context: _Context) -> Hit | None:
        """The first place in sentence `number` where the rule holds."""
        sentence = context.answer.sentences[number]
        if not (self._applies_to(context) and self._applies_in(sentence, number, len(context.answer.sentences))):
            return None
        for match in self.match.finditer(sentence.text):
            if _stands(self.rule, sentence.text[: match.start()]):
                start = sentence.start
                return Hit(self.pattern.name, self.rule.id, start + match.start(), start + match.end())
        return None

    def _applies_to(self, context: _Context) -> bool:
        return (
            (not self.pattern.categories or context.category in self.pattern.categories)
            and (self.rule.max_words is None or context.answer.words <= self.rule.max_words)
            and (self.question is None or self.question.search(context.question) is not None)
            and (self.unless_question is None or self.unless_question.search(context.question) is None)
        )

    def _applies_in(self, sentence: Sentence, number: int, sentences: int) -> bool:
        return (
            (self.rule.asking or not sentence.asks)
            and _in_place(self.rule.where, number, sentences)
            and (self.needs is None or self.needs.search(sentence.text) is not None)
            and (self.unless is None or self.unless.search(sentence.text) is None)
        )


class PatternSet:
    """The compiled patterns of a stance."""

    def __init__(self, sources: Sequence[PatternSource]) -> None:
        """Raises InputError naming file, pattern and rule of every expression that does not compile."""
        vocabulary, problems = _vocabulary(sources)
        compiler = _Compiler(vocabulary, problems)
        self.patterns: dict[str, Pattern] = {}
        self._rules: list[_CompiledRule] = []
        for source in sources:
            for number, pattern in enumerate(source.file.patterns):
                if pattern.name in self.patterns:
                    problems.append(Problem(source.where, f"{pattern.name} stands twice", field=f"patterns[{number}]"))
                self.patterns[pattern.name] = pattern
                for index, rule in enumerate(pattern.rules):
                    field = f"patterns[{number}].rules[{index}]"
                    self._rules.append(compiler.rule(rule, pattern, source.where, field))
        if problems:
            raise InputError(problems)
        self._prefilter = _prefilter(self._rules, vocabulary)
        self._question = lru_cache(maxsize=4096)(normalised)

    def find(self, response: str, question: str = "", category: str | None = None) -> list[Hit]:
        """Every hit in an answer, in order; at most one per rule and sentence.

        `category` decides about patterns that only answers of some categories can show; unknown = they do not apply.
        """
        answer = read_answer(response)
        context = _Context(answer, self._question(question), category)
        hits = [
            hit
            for number, sentence in enumerate(answer.sentences)
            for index in self._prefilter.Match(sentence.text) or ()
            if (hit := self._rules[index].hit(number, context))
        ]
        shown = {hit.pattern for hit in hits}
        kept = [hit for hit in hits if not shown.intersection(self.patterns[hit.pattern].unless_pattern)]
        return sorted(kept, key=lambda hit: (hit.start, hit.end, hit.pattern, hit.rule))


def load_patterns(stance: Stance) -> PatternSet:
    """Compile the patterns of a stance; raises InputError if it has none or one does not compile."""
    if not stance.patterns:
        hint = 'name pattern files in stance.toml: [patterns] paths = ["patterns.toml"]'
        raise InputError([Problem(str(stance.folder), "this stance has no patterns", hint=hint)])
    return PatternSet(stance.patterns)


def example_of(written: str | Example) -> Example:
    return Example(text=written) if isinstance(written, str) else written


def _in_place(where: str, number: int, sentences: int) -> bool:
    match where:
        case "first":
            return number == 0
        case "opening":
            return number < OPENING_SENTENCES
        case "last":
            return number == sentences - 1
    return True


def _stands(rule: Rule, before: str) -> bool:
    """Whether what precedes the match in its sentence leaves it a statement of the speaker's own."""
    if not before:
        return True
    if not rule.reported and REPORTED.search(before):
        return False
    if rule.negated:
        return True
    clause = CLAUSE_START.match(before)
    return not NEGATION.search(before[clause.end() :] if clause else before)


# --- compiling ---------------------------------------------------------------------------------------------


def _vocabulary(sources: Sequence[PatternSource]) -> tuple[dict[str, str], list[Problem]]:
    vocabulary: dict[str, str] = {}
    problems: list[Problem] = []
    for source in sources:
        for name, expression in source.file.vocabulary.items():
            field = f"vocabulary.{name}"
            if name in vocabulary:
                problems.append(Problem(source.where, f"{name} stands twice", field=field))
            vocabulary[name] = _expanded(expression, vocabulary, source.where, field, problems)
    return vocabulary, problems


def _expanded(expression: str, vocabulary: Mapping[str, str], where: str, field: str, problems: list[Problem]) -> str:
    """The expression with vocabulary put in and each space as any white space."""

    def entry(match: re.Match[str]) -> str:
        if match[1] not in vocabulary:
            hint = f"known before it are {', '.join(vocabulary) or 'none'}"
            problems.append(Problem(where, f"no vocabulary entry {match[0]}", field=field, hint=hint))
            return ""
        return f"(?:{vocabulary[match[1]]})"

    return VOCABULARY_NAME.sub(entry, expression).replace(" ", r"\s+")


@dataclass(frozen=True)
class _Compiler:
    """Compiles expressions with one vocabulary, and notes in `problems` which do not."""

    vocabulary: Mapping[str, str]
    problems: list[Problem]

    def rule(self, rule: Rule, pattern: Pattern, where: str, field: str) -> _CompiledRule:
        def expression(name: str) -> Any:
            written = getattr(rule, name)
            return None if written is None else self._expression(written, where, f"{field}.{name} ({rule.id})")

        return _CompiledRule(
            rule,
            pattern,
            match=expression("match"),
            needs=expression("needs"),
            unless=expression("unless"),
            question=expression("question"),
            unless_question=expression("unless_question"),
        )

    def _expression(self, written: str, where: str, field: str) -> Any:
        try:
            return re2.compile(_expanded(written, self.vocabulary, where, field, self.problems), _options())
        except re2.error as error:
            reason = error.args[0]
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            hint = "RE2 has no lookaround and no backreferences"
            self.problems.append(Problem(where, f"no regular expression: {text}", field=field, hint=hint))
            return None


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _prefilter(rules: Sequence[_CompiledRule], vocabulary: Mapping[str, str]) -> Any:
    """All rules' `match` as one automaton: which of them match a text, in one pass."""
    options = _options()
    options.max_mem = MEMORY
    automaton = re2.Set.SearchSet(options)
    for compiled in rules:
        automaton.Add(_expanded(compiled.rule.match, vocabulary, "", "", []))
    automaton.Compile()
    return automaton
