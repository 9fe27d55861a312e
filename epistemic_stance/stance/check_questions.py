"""Faults of question sets that would spoil an evaluation: asked twice, lopsided, not what they say they reword."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from epistemic_stance.foundation.similarity import SimilarTexts
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import Question, QuestionSet
from epistemic_stance.stance.check_pairs import (
    NEAR_QUESTION,
    NO_PLACES,
    Finding,
    error,
    likeness,
    question_place,
    repeated_ids,
    warning,
)
from epistemic_stance.stance.load import Probes

REWORDINGS = 3
"""Of each training question: enough to tell a wording that happens to work from a question that was learned."""
ONE_SIDED = 0.6
"""Share of a category's questions that one answer may favour; beyond, a model that always says yes seems to lean."""
FORMS = ("asked", "asserted", "denied")
POLARITIES = ("yes", "no")


@dataclass(frozen=True)
class Located:
    """A question of a set, and the place of it that messages give."""

    set_name: str
    question: Question
    where: str

    @property
    def name(self) -> str:
        return f"{self.question.id} ({self.where})"

    @property
    def kin(self) -> list[tuple[str, ...]]:
        """What it shares with the questions that are meant to be like it."""
        pair, matter = self.question.paraphrase_of, self.question.matter
        return ([("pair", pair)] if pair else []) + ([("matter", self.set_name, matter)] if matter else [])


def located(question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES) -> list[Located]:
    """All questions of all sets; `places` is `Stance.question_places`."""
    return [
        Located(name, question, question_place(name, number, places))
        for name, questions in question_sets.items()
        for number, question in enumerate(questions.questions)
    ]


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
        asked = [one for one in everything if one.set_name == name]
        findings += repeated_ids([(one.question.id, one.where) for one in asked], "question")
        findings += _unknown_categories(asked, questions.categories)
        findings += _matters(asked)
        findings += _lopsided(asked)
    findings += _repeated_questions(everything)
    if pair_ids is not None:
        findings += _rewordings(everything, pair_ids)
    return findings


def _unknown_categories(asked: Iterable[Located], known: Collection[str]) -> Iterator[Finding]:
    for one in asked:
        if one.question.category not in known:
            what = f'unknown category "{one.question.category}"'
            yield error(one.where, "category", what, f"known are {', '.join(known)}")


def _repeated_questions(everything: Sequence[Located]) -> Iterator[Finding]:
    """Rewordings of one pair and questions of one matter may be alike, but not the same."""
    known = SimilarTexts(NEAR_QUESTION)
    families: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, one in enumerate(everything):
        related = [member for kin in one.kin for member in families[kin]]
        if match := known.find(one.question.text, related):
            other = everything[match.index]
            what = (
                f"{likeness(match)} question {other.question.id} of {other.set_name} ({other.where}): "
                f'"{shorten(one.question.text)}"'
            )
            # Inside one set a question asked twice counts twice in every rate; two sets are judged apart.
            make = error if match.exact and one.set_name == other.set_name else warning
            yield make(one.where, "text", what, "ask something else")
        known.add(one.question.text)
        for kin in one.kin:
            families[kin].append(number)


def _rewordings(everything: Iterable[Located], pair_ids: Sequence[str]) -> Iterator[Finding]:
    rewording = [one for one in everything if one.question.paraphrase_of]
    for one in rewording:
        if one.question.paraphrase_of not in pair_ids:
            what = f'the corpus has no pair "{one.question.paraphrase_of}"'
            hint = f"its pairs are {shorten(', '.join(pair_ids), 200)}"
            yield error(one.where, "paraphrase_of", what, hint)
    counts = Counter(one.question.paraphrase_of for one in rewording)
    few = [f"{name} {counts[name]}" for name in dict.fromkeys(pair_ids) if counts[name] < REWORDINGS]
    if rewording and few:
        what = (
            f"{len(few)} of {len(pair_ids)} pairs have fewer than {REWORDINGS} rewordings: "
            f"{shorten(', '.join(few), 200)}"
        )
        hint = "add some, so that seen, reworded and unseen questions can be set side by side"
        yield warning(rewording[0].where, "paraphrase_of", what, hint)


# --- questions that belong together ------------------------------------------------------------------------


def _matters(asked: Iterable[Located]) -> Iterator[Finding]:
    members: defaultdict[str, list[Located]] = defaultdict(list)
    for one in asked:
        if one.question.matter:
            members[one.question.matter].append(one)
        elif one.question.form:
            hint = "name the matter, the same for all three forms of one question"
            yield error(one.where, "form", f"{one.question.form}, but of no matter", hint)
    for together in members.values():
        yield from _torn(together)
        yield from _incomplete(together)


def _torn(together: Sequence[Located]) -> Iterator[Finding]:
    first = together[0]
    for one in together:
        if one.question.category != first.question.category:
            what = (
                f"{one.question.category}, while {first.name} of the same matter {first.question.matter} "
                f"is of {first.question.category}"
            )
            yield error(one.where, "category", what, "keep a matter in one category, in which it is counted")


def _incomplete(together: Sequence[Located]) -> Iterator[Finding]:
    """A matter is put in each of the three forms, or in both polarities, once."""
    by_form = any(one.question.form for one in together)
    field, wanted = ("form", FORMS) if by_form else ("favours", POLARITIES)
    matter, hint = together[0].question.matter, f"a matter has one question for each {field}: {', '.join(wanted)}"
    found: dict[str, Located] = {}
    nameless = False
    for one in together:
        value = one.question.form if by_form else one.question.favours
        if value is None:
            nameless = True
            yield error(one.where, field, f"missing in a question of matter {matter}", hint)
        elif value in found:
            what = f"{value}, as already in {found[value].name} of the same matter {matter}"
            yield error(one.where, field, what, hint)
        else:
            found[value] = one
    lacking = [value for value in wanted if value not in found]
    if lacking and not nameless:
        what = f"{matter} has no question with {field} {' or '.join(lacking)}"
        yield error(together[0].where, "matter", what, hint)


def _lopsided(asked: Iterable[Located]) -> Iterator[Finding]:
    """Categories in which one sort of answer is always, or mostly, the telling one."""
    by_category: defaultdict[str, list[Located]] = defaultdict(list)
    for one in asked:
        by_category[one.question.category].append(one)
    for category, members in by_category.items():
        expecting = [one for one in members if one.question.expect]
        classes = {one.question.expect for one in expecting}
        if len(classes) == 1:
            lacking = "help" if classes == {"decline"} else "decline"
            what = f"all {len(expecting)} requests of {category} expect {classes.pop()}, none {lacking}"
            hint = "add some of the other kind: a model that treats all requests alike would look right"
            yield warning(expecting[0].where, "expect", what, hint)
        leaning = [one for one in members if one.question.favours]
        counts = Counter(one.question.favours for one in leaning)
        most = max(counts.values(), default=0)
        if most > ONE_SIDED * len(leaning) and most > (len(leaning) + 1) // 2:
            what = (
                f"{counts['yes']} questions of {category} favour yes and {counts['no']} no, "
                f"expected at most {ONE_SIDED:.0%} of one kind"
            )
            hint = "turn some round: a model that always says yes would seem to have the tendency"
            yield warning(leaning[0].where, "favours", what, hint)


# --- probes ------------------------------------------------------------------------------------------------


def check_probe_sets(
    probes: Probes, question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES
) -> list[Finding]:
    """Questions of the sets that stance.toml names for probes, and that a probe could not use."""
    return [
        warning(one.where, field, f"missing, and {one.set_name} stands in probes.{named} of stance.toml", hint)
        for one in located(question_sets, places)
        for named, names, field, usable, hint in (
            ("yes_no", probes.yes_no, "favours", one.question.favours, "say which answer shows the tendency"),
            ("choices", probes.choices, "choices", one.question.choices, "give it wrong answers to weigh the key with"),
        )
        if one.set_name in names and not usable
    ]
