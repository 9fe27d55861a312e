"""Find what an answer does: the rules of a stance's patterns, run sentence by sentence.

All expressions are RE2: time is linear in the text whatever the rule and whatever a model wrote, and one pass over a
sentence says which of all the rules can match at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from epistemic_stance.foundation.coherence import HOLDS, addresses_the_model, holds_together
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.sentences import Answer, Sentence, compact, normalised, read_answer
from epistemic_stance.records.written import Example, Pattern, Rule
from epistemic_stance.stance.load import PatternSource, Stance

OPENING_SENTENCES = 2
BEFORE = 200
"""Characters before a match that are searched for negation and report."""
LINE_BREAK = re.compile(r"\s*\n\s*")
"""In an expression only for the eye."""
REMEMBERED = 500
"""Characters of a sentence up to which it is remembered what stands in it."""
VOCABULARY_NAME = re.compile(r"(?<!\\)\{([a-z][a-z0-9_]*)\}")
SENTENCES_KEPT = 2**14
NEGATION = re2.compile(
    r"(?:\b(?:not|never|no longer|cannot|without|neither|nor|rather than|instead of|avoid|refuse to|refrain from"
    r"|stop|hardly)\b|n't\b)(?:\W+\w+){0,6}\W*$"
)
CLAUSE_START = re2.compile(r".*(?:[,;:()]| - | (?:but|however|although|though|while|because|so|and yet)\b|\band $)")
OTHERS = (
    r"(?:people|humans|users|others|everyone|critics|skeptics|sceptics|philosophers|scientists|researchers|experts"
    r"|chatbots?|bots?|assistants?|models?|systems|programs|ais|machines|you|they|he|she|we|one|someone|somebody|who"
    r"|some|many|most|article|book|paper|film|movie|character|robots?|friend|brother|sister|teacher|colleague|boss)"
)
SAYING = (
    r"(?:say|claim|insist|argue|believe|think|suggest|write|assume|reply|answer|repeat|recite|declare|announce"
    r"|pretend|maintain|suppose|feel)(?:s|d|ed|ing)?|says|said|saying|claiming|arguing|believing|writing|wrote|replies"
    r"|replied|thought|tell you|tells you|told you|want me to say"
)
REPORTED = re2.compile(
    rf"\b{OTHERS} (?:\w+ ){{0,3}}?(?:{SAYING})\b[,:]?(?: that)?(?: \w+){{0,2}}[ :,]*$"
    rf"|\b(?:if|when|whenever|suppose|imagine|pretend|were|should) (?:i|someone|somebody) (?:\w+ ){{0,3}}?"
    rf"(?:{SAYING}|tell|told)\b(?: \w+){{0,3}}[ :,]*$"
    r"|\b(?:tell|telling|told|tells|call|calling|convince|convincing|ask|asks|asked|asking) me\b"
    r"(?: that| if| whether)?[ :,]*$"
    r"|\b(?:if|whether|unless|as if|as though|suppose|supposing|assuming|imagine|pretend|pretending|even if|wonder|how)"
    r" (?:that )?(?:\w+ly )?$"
    r"|\b(?:seem|seems|sound|sounds|look|looks|appear|appears)(?: like| as if| as though| that)? $"
    r"|\b(?:claim|idea|notion|belief|myth|assumption|impression|illusion|proof|evidence|possibility)s? that $"
    r"|\b(?:trained|supposed|expected|taught|programmed|easy|tempting|wrong|false|dishonest|misleading|premature"
    rf"|lying|a lie|too \w+|rash|presumptuous|bold)(?: for me)? (?:to|if i) (?:{SAYING}|tell you) (?:that )?$"
    rf"|\bi (?:could|might|may) (?:just |simply |easily |also )?(?:{SAYING}|tell you) (?:that )?$"
    r"|\b(?:the|this|that|these|those|such) (?:phrase|sentence|words?|line|formula|slogan|title)s?\b(?:\W+\w+){0,2}\W*$"
    r"|\b(?:usual|standard|canned|stock|typical) (?:reply|answer|response|disclaimer|line|phrase)\b(?:\W+\w+){0,2}\W*$"
)
"""Somebody else's statement, a supposed one, or one that is mentioned as words, up to the match."""
REPORT_END = re2.compile(r".*(?:[;.!?]|[ ,](?:but|however|although|though|while|whereas|yet) )")


@dataclass(frozen=True)
class Hit:
    """A rule that matched, and where in the answer as it was written."""

    pattern: str
    rule: str
    start: int
    end: int


@dataclass(frozen=True)
class _CompiledRule:
    rule: Rule
    pattern: Pattern
    match: Any
    needs: Any
    unless: Any
    unless_inside: Any
    unless_next: Any
    preceded_by: Any
    followed_by: Any
    question: Any
    unless_question: Any

    def asked_for(self, question: str, category: str | None) -> bool:
        """Whether an answer to this question can show it."""
        return (
            (not self.pattern.categories or category in self.pattern.categories)
            and (self.question is None or self.question.search(question) is not None)
            and (self.unless_question is None or self.unless_question.search(question) is None)
        )

    def hit(self, number: int, answer: Answer) -> Hit | None:
        """The first place in sentence `number` where the rule holds, for a question that asks for it."""
        if not self._applies_in(number, answer):
            return None
        sentence = answer.sentences[number]
        text = sentence.text
        for match in self.match.finditer(text):
            start, end = match.span()
            before = text[max(0, start - BEFORE) : start]
            if end > start and not self._excluded(text, start, end) and _stands(self.rule, before):
                return Hit(self.pattern.name, self.rule.id, *sentence.place(start, end))
        return None

    def _applies_in(self, number: int, answer: Answer) -> bool:
        sentences = answer.sentences
        text = sentences[number].text
        return (
            (self.rule.asking or not sentences[number].asks)
            and (self.rule.max_words is None or answer.words <= self.rule.max_words)
            and _in_place(self.rule.where, number, len(sentences))
            and (self.needs is None or _stands_in(self.needs, text))
            and (self.unless is None or not _stands_in(self.unless, text))
            and (self.preceded_by is None or _stands_in(self.preceded_by, _text(sentences, number - 1)))
            and (self.followed_by is None or _stands_in(self.followed_by, _text(sentences, number + 1)))
        )

    def _excluded(self, text: str, start: int, end: int) -> bool:
        """Whether the match itself or what follows it says that it is not the pattern."""
        return (self.unless_inside is not None and self.unless_inside.search(text[start:end]) is not None) or (
            self.unless_next is not None and self.unless_next.match(text[end:].lstrip(" ")) is not None
        )


@dataclass(frozen=True)
class Found:
    """What an answer shows."""

    hits: list[Hit]
    """In order; at most one per rule and sentence."""
    excluded: frozenset[str]
    """Patterns whose rules match, but not in an answer that shows another one (`unless_pattern`)."""


class PatternSet:
    """The compiled patterns of a stance."""

    def __init__(self, sources: Sequence[PatternSource]) -> None:
        """Raises InputError naming file, pattern and rule of every expression that does not compile."""
        vocabulary, problems = _vocabulary(sources)
        compiler = _Compiler(vocabulary, problems, re2.Filter())
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
        problems += _opposites_taken(sources)
        if problems:
            raise InputError(problems)
        self._filter = compiler.filter
        if self._rules:
            self._filter.Compile()
        self._asked_for = lru_cache(maxsize=4096)(self._rules_for)
        self._found_in = lru_cache(maxsize=SENTENCES_KEPT)(self._matching)

    def find(self, response: str, question: str = "", category: str | None = None) -> list[Hit]:
        """The hits of `search`."""
        return self.search(response, question, category).hits

    def search(self, response: str, question: str = "", category: str | None = None) -> Found:
        """Everything that an answer shows.

        `category` decides about patterns that only answers of some categories can show; unknown = they do not apply.
        """
        return self._kept([*self._computed(response, question, category), *self._matched(response, question, category)])

    def find_by_rules(self, response: str, question: str = "", category: str | None = None) -> list[Hit]:
        """What the rules alone find, whatever is computed."""
        return self._kept(self._matched(response, question, category)).hits

    def _kept(self, hits: Sequence[Hit]) -> Found:
        shown = {hit.pattern for hit in hits}
        excluded = frozenset(name for name in shown if shown.intersection(self.patterns[name].unless_pattern))
        kept = [hit for hit in hits if hit.pattern not in excluded]
        return Found(sorted(kept, key=lambda hit: (hit.start, hit.end, hit.pattern, hit.rule)), excluded)

    def _computed(self, response: str, question: str, category: str | None) -> list[Hit]:
        if not response or not addresses_the_model(question):
            return []
        return [
            Hit(name, pattern.computed, 0, len(response))
            for name, pattern in self.patterns.items()
            if pattern.computed
            and (not pattern.categories or category in pattern.categories)
            and holds_together(question, response) < HOLDS
        ]

    def _matched(self, response: str, question: str, category: str | None) -> list[Hit]:
        if not self._rules:
            return []
        answer = read_answer(response)
        asked_for = self._asked_for(question, category)
        return [
            hit
            for number, sentence in enumerate(answer.sentences)
            for index in self._found_in(sentence.text)
            if asked_for[index] and (hit := self._rules[index].hit(number, answer))
        ]

    def _matching(self, sentence: str) -> tuple[int, ...]:
        """Rules whose `match` stands in a sentence; models repeat theirs."""
        return tuple(self._filter.Match(sentence) or ())

    def _rules_for(self, question: str, category: str | None) -> list[bool]:
        text = compact(normalised(question))
        return [rule.asked_for(text, category) for rule in self._rules]


@lru_cache(maxsize=4)
def load_patterns(stance: Stance) -> PatternSet:
    """Compile the patterns of a stance, once; raises InputError if it has none or one does not compile."""
    if not stance.patterns:
        hint = 'name pattern files in stance.toml: [patterns] paths = ["patterns.toml"]'
        raise InputError([Problem(str(stance.folder), "this stance has no patterns", hint=hint)])
    return PatternSet(stance.patterns)


def example_of(written: str | Example) -> Example:
    return Example(text=written) if isinstance(written, str) else written


def _text(sentences: Sequence[Sentence], number: int) -> str:
    return sentences[number].text if 0 <= number < len(sentences) else ""


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
    return not before or ((rule.reported or not _reported(before)) and (rule.negated or not _negated(before)))


@lru_cache(maxsize=4096)
def _reported(before: str) -> bool:
    return REPORTED.search(_after(REPORT_END, before)) is not None


@lru_cache(maxsize=4096)
def _negated(before: str) -> bool:
    return NEGATION.search(_after(CLAUSE_START, before)) is not None


def _after(boundary: Any, text: str) -> str:
    """What stands after the last boundary."""
    result = boundary.match(text)
    return text[result.end() :] if result else text


def _stands_in(expression: Any, text: str) -> bool:
    return _found(expression, text) if len(text) <= REMEMBERED else expression.search(text) is not None


@lru_cache(maxsize=4096)
def _found(expression: Any, text: str) -> bool:
    """Remembered, because many rules ask for the same and models repeat themselves."""
    return expression.search(text) is not None


# --- compiling ---------------------------------------------------------------------------------------------


def _opposites_taken(sources: Sequence[PatternSource]) -> Iterator[Problem]:
    """Names of opposites that are those of a pattern, a group or another opposite."""
    patterns = [pattern for source in sources for pattern in source.file.patterns]
    taken = Counter({*(pattern.name for pattern in patterns), *(pattern.group for pattern in patterns)})
    taken.update(pattern.opposite for pattern in patterns if pattern.opposite)
    for source in sources:
        for number, pattern in enumerate(source.file.patterns):
            if pattern.opposite and taken[pattern.opposite] > 1:
                yield Problem(source.where, f"{pattern.opposite} is taken", field=f"patterns[{number}].opposite")


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
    """The expression in one line, with vocabulary put in."""

    def entry(match: re.Match[str]) -> str:
        if match[1] not in vocabulary:
            hint = f"known before it are {', '.join(vocabulary) or 'none'}"
            problems.append(Problem(where, f"no vocabulary entry {match[0]}", field=field, hint=hint))
            return ""
        return f"(?:{vocabulary[match[1]]})"

    return VOCABULARY_NAME.sub(entry, LINE_BREAK.sub("", expression.strip("\n")))


@dataclass(frozen=True)
class _Compiler:
    """Compiles expressions with one vocabulary, and notes in `problems` which do not."""

    vocabulary: Mapping[str, str]
    problems: list[Problem]
    filter: Any
    """Of the `match` expressions of all rules, in their order: runs those whose words a text has at all."""

    def rule(self, rule: Rule, pattern: Pattern, where: str, field: str) -> _CompiledRule:
        def compiled(name: str) -> Any:
            written = getattr(rule, name)
            return None if written is None else self._compiled(written, where, f"{field}.{name} ({rule.id})")

        return _CompiledRule(
            rule,
            pattern,
            match=self._filtered(rule.match, where, f"{field}.match ({rule.id})"),
            needs=compiled("needs"),
            unless=compiled("unless"),
            unless_inside=compiled("unless_inside"),
            unless_next=compiled("unless_next"),
            preceded_by=compiled("preceded_by"),
            followed_by=compiled("followed_by"),
            question=compiled("question"),
            unless_question=compiled("unless_question"),
        )

    def _filtered(self, written: str, where: str, field: str) -> Any:
        """The expression as the filter holds it, so that it is compiled once."""
        expression = _expanded(written, self.vocabulary, where, field, self.problems)
        try:
            match = self.filter.re(self.filter.Add(expression, _options()))
        except re2.error:
            return self._compiled(written, where, field)
        if match.search(""):
            what, hint = "matches the empty text", "let it ask for at least one word"
            self.problems.append(Problem(where, what, field=field, hint=hint))
        return match

    def _compiled(self, written: str, where: str, field: str) -> Any:
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
