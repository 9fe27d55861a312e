"""Faults of question sets that would spoil an evaluation: asked twice, lopsided, not what they say they reword."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from epistemic_stance.foundation.similarity import SimilarTexts
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import QuestionSet
from epistemic_stance.stance.findings import (
    NEAR_QUESTION,
    NO_PLACES,
    Finding,
    Located,
    error,
    likeness,
    located,
    repeated_ids,
    warning,
)
from epistemic_stance.stance.load import Probes

REWORDINGS = 3
"""Of each training question: enough to tell a wording that happens to work from a question that was learned."""
ONE_SIDED = 0.6
"""Share of a category's questions that one answer may favour; beyond, a model that always says yes seems to have it."""
FORMS = ("asked", "asserted", "denied")
POLARITIES = ("yes", "no")


def check_question_sets(
    question_sets: Mapping[str, QuestionSet],
    places: Mapping[str, Sequence[str]] = NO_PLACES,
    pair_ids: Sequence[str] | None = None,
) -> list[Finding]:
    """Faults of each set, and questions that are asked twice in one set or in two.

    `pair_ids` are those of the stance's own corpus, which `paraphrase_of` names; None: another corpus is in use, and
    nothing is said about them.
    """
    everything = located(question_sets, places)
    findings: list[Finding] = []
    for name, questions in question_sets.items():
        members = [asked for asked in everything if asked.set_name == name]
        findings += repeated_ids([(asked.question.id, asked.where) for asked in members], "question")
        findings += _unknown_categories(members, questions.categories)
        findings += _matters(members)
        findings += _lopsided(members)
    findings += _repeated_questions(everything)
    if pair_ids is not None:
        findings += _rewordings(everything, pair_ids)
    return findings


def _unknown_categories(members: Iterable[Located], known: Collection[str]) -> Iterator[Finding]:
    for asked in members:
        if asked.question.category not in known:
            what = f'unknown category "{asked.question.category}"'
            yield error(asked.where, "category", what, f"known are {', '.join(known)}")


def _repeated_questions(everything: Sequence[Located]) -> Iterator[Finding]:
    """Rewordings of one pair and questions of one matter may be alike, but not the same."""
    earlier = SimilarTexts(NEAR_QUESTION)
    families: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, asked in enumerate(everything):
        related = [member for family in _families(asked) for member in families[family]]
        if match := earlier.find(asked.question.text, related):
            other = everything[match.index]
            # Inside one set a question asked twice counts twice in every rate; two sets are judged apart.
            make = error if match.exact and asked.set_name == other.set_name else warning
            yield make(asked.where, "text", f"{likeness(match)} {other.in_full}", "ask something else")
        earlier.add(asked.question.text)
        for family in _families(asked):
            families[family].append(number)


def _families(asked: Located) -> Iterator[tuple[str, ...]]:
    """What a question shares with the questions that are meant to be like it."""
    if asked.question.paraphrase_of:
        yield "pair", asked.question.paraphrase_of
    if asked.question.matter:
        yield "matter", asked.set_name, asked.question.matter


def _rewordings(everything: Iterable[Located], pair_ids: Sequence[str]) -> Iterator[Finding]:
    rewording = [asked for asked in everything if asked.question.paraphrase_of]
    for asked in rewording:
        if asked.question.paraphrase_of not in pair_ids:
            what = f'the corpus has no pair "{asked.question.paraphrase_of}"'
            hint = f"its pairs are {shorten(', '.join(pair_ids), 200)}"
            yield error(asked.where, "paraphrase_of", what, hint)
    counts = Counter(asked.question.paraphrase_of for asked in rewording)
    few = [f"{name} {counts[name]}" for name in dict.fromkeys(pair_ids) if counts[name] < REWORDINGS]
    if rewording and few:
        what = (
            f"{len(few)} of {len(pair_ids)} pairs have fewer than {REWORDINGS} rewordings: "
            f"{shorten(', '.join(few), 200)}"
        )
        hint = "add some, so that seen, reworded and unseen questions can be set side by side"
        yield warning(rewording[0].where, "paraphrase_of", what, hint)


# --- questions that belong together ------------------------------------------------------------------------


def _matters(members: Iterable[Located]) -> Iterator[Finding]:
    matters: defaultdict[str, list[Located]] = defaultdict(list)
    for asked in members:
        if asked.question.matter:
            matters[asked.question.matter].append(asked)
        elif asked.question.form:
            hint = "name the matter, the same for all three forms of one question"
            yield error(asked.where, "form", f"{asked.question.form}, but of no matter", hint)
    for together in matters.values():
        yield from _several_categories(together)
        yield from _incomplete(together)


def _several_categories(together: Sequence[Located]) -> Iterator[Finding]:
    first = together[0]
    for asked in together:
        if asked.question.category != first.question.category:
            what = (
                f"{asked.question.category}, while {first.name} of the same matter {first.question.matter} "
                f"is of {first.question.category}"
            )
            yield error(asked.where, "category", what, "keep a matter in one category, in which it is counted")


def _incomplete(together: Sequence[Located]) -> Iterator[Finding]:
    """A matter is put in each of the three forms, or in both polarities, once."""
    by_form = any(asked.question.form for asked in together)
    field, wanted = ("form", FORMS) if by_form else ("favours", POLARITIES)
    matter, hint = together[0].question.matter, f"a matter has one question for each {field}: {', '.join(wanted)}"
    by_value: dict[str | None, Located] = {}
    for asked in together:
        value = asked.question.form if by_form else asked.question.favours
        if value is None:
            yield error(asked.where, field, f"missing in a question of matter {matter}", hint)
        elif value in by_value:
            what = f"{value}, as already in {by_value[value].name} of the same matter {matter}"
            yield error(asked.where, field, what, hint)
        by_value.setdefault(value, asked)
    lacking = [value for value in wanted if value not in by_value]
    if lacking and None not in by_value:
        what = f"{matter} has no question with {field} {' or '.join(lacking)}"
        yield error(together[0].where, "matter", what, hint)


def _lopsided(members: Iterable[Located]) -> Iterator[Finding]:
    """Categories in which one sort of answer is always, or mostly, the telling one."""
    by_category: defaultdict[str, list[Located]] = defaultdict(list)
    for asked in members:
        by_category[asked.question.category].append(asked)
    for category, alike in by_category.items():
        yield from _one_expectation(category, [asked for asked in alike if asked.question.expect])
        yield from _one_polarity(category, [asked for asked in alike if asked.question.favours])


def _one_expectation(category: str, requests: Sequence[Located]) -> Iterator[Finding]:
    expected = {asked.question.expect for asked in requests}
    if len(expected) == 1:
        lacking = "help" if expected == {"decline"} else "decline"
        what = f"all {len(requests)} requests of {category} expect {expected.pop()}, none {lacking}"
        hint = "add some of the other kind: a model that treats all requests alike would look right"
        yield warning(requests[0].where, "expect", what, hint)


def _one_polarity(category: str, favouring: Sequence[Located]) -> Iterator[Finding]:
    counts = Counter(asked.question.favours for asked in favouring)
    most = max(counts.values(), default=0)
    if most > ONE_SIDED * len(favouring) and most > (len(favouring) + 1) // 2:
        what = (
            f"{counts['yes']} questions of {category} favour yes and {counts['no']} no, "
            f"expected at most {ONE_SIDED:.0%} of one kind"
        )
        hint = "turn some round: a model that always says yes would seem to have the tendency"
        yield warning(favouring[0].where, "favours", what, hint)


# --- probes ------------------------------------------------------------------------------------------------


def check_probe_sets(
    probes: Probes, question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES
) -> list[Finding]:
    """Questions of the sets that stance.toml names for probes, and that a probe could not use."""
    return [
        warning(asked.where, field, f"missing, and {asked.set_name} stands in probes.{named} of stance.toml", hint)
        for asked in located(question_sets, places)
        for named, names, field, usable, hint in (
            ("yes_no", probes.yes_no, "favours", asked.question.favours, "say which answer shows the tendency"),
            (
                "choices",
                probes.choices,
                "choices",
                asked.question.choices,
                "give it wrong answers beside the key",
            ),
        )
        if asked.set_name in names and not usable
    ]
