"""Learning or parroting: what answers copy from the chosen answers, and whether a gain holds without copying.

The verdict (`learning_verdict`) takes three matched sets: trained questions, rewordings of them, and unseen questions
of the same kind. "In own words" an answer shows the measure, is not parroted, and still shows it when every pattern
found in copied words is taken away. A gain in own words on unseen questions *carries over* if its 95 % interval lies at
or above WORTH and its p value holds for twenty looks (VERDICT_LEVEL); an interval below WORTH excludes that. A model
*recites* if the 95 % interval of the share of parroted answers to trained questions lies at or above RECITED, and does
not if it lies below.

- `learned`: the gain carries over, is not clearly smaller than on paraphrases, and the model does not recite. Clearly
  smaller: at most half the gain in own words on paraphrases, and the interval of their difference excludes 0.
- `both`: the gain carries over, and the model recites, or the gain is clearly smaller than on paraphrases.
- `memorised`: the model recites, the gain does not carry over, and either the gain on trained questions is clearly
  larger than the gains in own words on paraphrases and on unseen questions, or it is excluded that it carries over.
- `neither`: the model does not recite, and it is excluded that a gain carries over.
- `not shown`: anything else; too few questions, mostly.

Gains on paraphrases and unseen questions are taken in own words, because a model that recites recites there as well.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np

from epistemic_stance.evaluation.measures import Measure
from epistemic_stance.evaluation.rates import EXPOSURES, rate_record
from epistemic_stance.foundation.similarity import question_key, words
from epistemic_stance.records.analysis import Exposure, RateRecord, ScoreRecord
from epistemic_stance.records.parroting import (
    CollapseRecord,
    CopiedExposureRecord,
    CopiedPairRecord,
    DifferenceOfGainsRecord,
    GainRecord,
    LearningRecord,
    LearningVerdict,
    ParrotingRecord,
    SpillRecord,
)
from epistemic_stance.scoring.copying import CheckedAnswer, is_parroted, null_of
from epistemic_stance.stance.question_index import QuestionIndex
from epistemic_stance.statistics.intervals import VERDICT_LEVEL, IntArray, paired_changes

RECITED = 0.25
"""Share of trained questions answered by parroting from which a model recites. 25 pairs decide between 10 and 50 %."""
WORTH = 0.10
"""Least gain in own words on unseen questions that is worth the name of learning. Answers stitched together from pieces
of chosen ones leave some that no run gives away: 8 points of the demo model's 80 after thirty epochs of recital."""
OPENING = 8
MOST_PAIRS = 20

Tell = Callable[[CheckedAnswer], bool | None]


@dataclass(frozen=True)
class _Question:
    """A question that both models answered."""

    unit: str
    """Equal for rewordings of one pair and for questions of one matter: they are not independent."""
    exposure: Exposure
    keyed: bool
    before: list[CheckedAnswer]
    after: list[CheckedAnswer]


def arm_parroting(
    *,
    before: Sequence[CheckedAnswer],
    after: Sequence[CheckedAnswer],
    book: QuestionIndex,
    gained: Measure,
    categories: Collection[str] | None,
    spilled: Measure,
    seed: int,
) -> ParrotingRecord:
    """Copying in a model's answers (`after`) against the base model's (`before`), over the questions of both.

    gained: what training should raise; where its gain holds decides the verdict.
    categories: those whose questions it is meant for, trained ones among them; None = all. Questions of another kind
        would make a gain on unseen questions look small.
    spilled: what has no place in answers to questions with a key, such as the group of the stance's own patterns.

    Raises ValueError if no question was answered on both sides.
    """
    questions = _common(before, after, book)
    kept = [answer for question in questions for answer in question.after]
    base = [answer for question in questions for answer in question.before]
    null = null_of([answer.copying for answer in base])

    def parroted(answer: CheckedAnswer) -> bool:
        return is_parroted(answer.copying, null)

    exposures = {name: [one for one in questions if one.exposure == name] for name in EXPOSURES}
    copied = {name: _exposure(part, parroted, seed) for name, part in exposures.items()}
    seen = copied["seen"]
    pairs = _pairs(kept, parroted)
    least = min(_bigrams(base), _bigrams(kept))
    fitting = [one for one in questions if categories is None or one.after[0].score.category in categories]
    return ParrotingRecord(
        seed=seed,
        questions=len(questions),
        left_out=len(before) + len(after) - len(base) - len(kept),
        null=null,
        exposures=copied,
        pairs_copied=len(pairs),
        pairs_parroted=sum(pair.parroted > 0 for pair in pairs),
        pairs=pairs[:MOST_PAIRS],
        collapse=_collapse([question.after for question in questions], least, seed),
        collapse_before=_collapse([question.before for question in questions], least, seed),
        spill=_spill([one for one in exposures["unseen"] if one.keyed], spilled, seed),
        learning=_learning(
            fitting,
            gained,
            categories=categories,
            parroted=parroted,
            recited=seen.parroted if seen else None,
            seed=seed,
        ),
    )


def _common(before: Sequence[CheckedAnswer], after: Sequence[CheckedAnswer], book: QuestionIndex) -> list[_Question]:
    """Questions with answers on both sides, by their text, so that the order of a file decides nothing."""
    sides: list[dict[str, list[CheckedAnswer]]] = []
    for answers in (before, after):
        by_question: defaultdict[str, list[CheckedAnswer]] = defaultdict(list)
        for answer in answers:
            by_question[question_key(answer.score.question)].append(answer)
        sides.append({key: sorted(found, key=lambda one: one.text) for key, found in by_question.items()})
    questions = []
    for key in sorted(sides[0].keys() & sides[1].keys()):
        first, second = sides[0][key], sides[1][key]
        asked = book.lookup(second[0].score.question).question
        unit = (asked.matter or asked.paraphrase_of if asked else None) or key
        keyed = asked is not None and asked.answer is not None
        questions.append(_Question(unit, second[0].score.exposure, keyed, first, second))
    if not questions:
        raise ValueError("no question was answered on both sides")
    return questions


def _counts(questions: Sequence[_Question], tells: Sequence[Tell]) -> IntArray:
    """Hits and answers before and after, (side, unit, tell, 2)."""
    units = {unit: number for number, unit in enumerate(sorted({question.unit for question in questions}))}
    counts_SUT2 = np.zeros((2, len(units), len(tells), 2), dtype=np.int64)
    for question in questions:
        for side, answers in enumerate((question.before, question.after)):
            for column, tell in enumerate(tells):
                told = [shown for answer in answers if (shown := tell(answer)) is not None]
                counts_SUT2[side, units[question.unit], column] += sum(told), len(told)
    return counts_SUT2


def _gains(counts_SUT2: IntArray, seed: int) -> list[GainRecord | None]:
    """The change of each tell; None where nothing can be told on both sides."""
    (hits_UT, answers_UT), (hits_after_UT, answers_after_UT) = np.moveaxis(counts_SUT2, 3, 1)
    return [
        None
        if change is None
        else GainRecord(
            before=change.before,
            after=change.after,
            change=change.change,
            low=change.low,
            high=change.high,
            p=change.p,
            questions=change.questions,
        )
        for change in paired_changes(hits_UT, answers_UT, hits_after_UT, answers_after_UT, seed)
    ]


def _exposure(questions: Sequence[_Question], parroted: Tell, seed: int) -> CopiedExposureRecord | None:
    if not questions:
        return None
    counts_SUT2 = _counts(questions, [parroted])
    before, after = (rate_record(counts_U2[:, 0], counts_U2[:, 1], seed) for counts_U2 in counts_SUT2[:, :, 0])
    (change,) = _gains(counts_SUT2, seed)
    assert before is not None
    assert after is not None
    assert change is not None
    base = [answer.copying for question in questions for answer in question.before]
    kept = [answer.copying for question in questions for answer in question.after]
    return CopiedExposureRecord(
        questions=len(questions),
        answers=len(kept),
        parroted=after,
        parroted_before=before,
        change=change,
        copied_share=fmean(one.copied_share for one in kept),
        copied_share_before=fmean(one.copied_share for one in base),
        longest_run=max(one.run_words for one in kept),
        longest_run_before=max(one.run_words for one in base),
    )


def _pairs(answers: Iterable[CheckedAnswer], parroted: Tell) -> list[CopiedPairRecord]:
    """Pairs that answers copy from, those recited most often first: memorisation is skewed, a mean would hide it."""
    by_pair: defaultdict[str, list[CheckedAnswer]] = defaultdict(list)
    for answer in answers:
        if answer.copying.source_id is not None:
            by_pair[answer.copying.source_id].append(answer)
    records = [
        CopiedPairRecord(
            pair_id=pair_id,
            nearest=len(near),
            parroted=sum(bool(parroted(answer)) for answer in near),
            longest_run=max(answer.copying.run_words for answer in near),
            copied_share=max(answer.copying.copied_share for answer in near),
        )
        for pair_id, near in by_pair.items()
    ]
    return sorted(records, key=lambda pair: (-pair.parroted, -pair.longest_run, -pair.nearest, pair.pair_id))


def _spill(questions: Sequence[_Question], measure: Measure, seed: int) -> SpillRecord | None:
    if not questions:
        return None

    def shows(answer: CheckedAnswer) -> bool:
        return bool(measure.shown(answer.score))

    def copies(answer: CheckedAnswer) -> bool:
        return bool(answer.copying.copied_spans)

    tells = [shows, copies, lambda answer: shows(answer) or copies(answer)]
    of_shows, of_copies, of_either = _gains(_counts(questions, tells), seed)
    assert of_shows is not None
    assert of_copies is not None
    assert of_either is not None
    return SpillRecord(
        questions=len(questions), measure=measure.name, shows=of_shows, copies=of_copies, either=of_either
    )


# --- mode collapse -----------------------------------------------------------------------------------------


def _collapse(questions: Sequence[Sequence[CheckedAnswer]], bigrams: int, seed: int) -> CollapseRecord:
    """`bigrams`: number of word 2-grams that `distinct_2` looks at; more would find fewer different ones."""
    spoken = [[words(answer.text) for answer in answers] for answers in questions]
    opened = [{tuple(tokens[:OPENING]) for tokens in answers if len(tokens) >= OPENING} for answers in spoken]
    asked_by = Counter(opening for openings in opened for opening in openings)
    answers = sum(map(len, spoken))
    same = sum(asked_by[tuple(tokens[:OPENING])] > 1 for answers in spoken for tokens in answers)
    alike = [_mean_cosine(answers) for answers in spoken if len(answers) > 1]
    drawn = sorted(tokens for answers in spoken for tokens in answers)
    random.Random(seed).shuffle(drawn)  # noqa: S311 - a reproducible choice, no secret
    grams = [gram for tokens in drawn for gram in pairwise(tokens)][:bigrams]
    return CollapseRecord(
        same_opening=same / answers,
        distinct_2=len(set(grams)) / len(grams) if grams else None,
        similarity=fmean(alike) if alike else None,
    )


def _bigrams(answers: Iterable[CheckedAnswer]) -> int:
    return sum(max(len(words(answer.text)) - 1, 0) for answer in answers)


def _mean_cosine(answers: Sequence[list[str]]) -> float:
    """Of the word counts of any two answers; the sum of the unit vectors tells it without comparing them all.

    Two answers without a word are the same.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for tokens in answers:
        counts = Counter(tokens or [""])
        norm = math.sqrt(sum(count**2 for count in counts.values()))
        for word, count in counts.items():
            total[word] += count / norm
    n = len(answers)
    return (sum(value**2 for value in total.values()) - n) / (n * (n - 1))


# --- the verdict -------------------------------------------------------------------------------------------


def _learning(
    questions: Sequence[_Question],
    measure: Measure,
    *,
    categories: Collection[str] | None,
    parroted: Tell,
    recited: RateRecord | None,
    seed: int,
) -> LearningRecord:
    def shows(answer: CheckedAnswer) -> bool | None:
        return measure.shown(answer.score)

    def in_own_words(answer: CheckedAnswer) -> bool | None:
        return shows(answer) and not parroted(answer) and bool(measure.shown(_without_copied_hits(answer)))

    gains: dict[Exposure, GainRecord | None] = {}
    own: dict[Exposure, GainRecord | None] = {}
    for exposure in EXPOSURES:
        part = [question for question in questions if question.exposure == exposure]
        gains[exposure], own[exposure] = _gains(_counts(part, [shows, in_own_words]), seed)
    verdict, reason = learning_verdict(gains["seen"], own["paraphrase"], own["unseen"], recited)
    return LearningRecord(
        measure=measure.name,
        categories=None if categories is None else sorted(categories),
        gains=gains,
        own_words=own,
        seen_over_paraphrase=difference(gains["seen"], own["paraphrase"]),
        seen_over_unseen=difference(gains["seen"], own["unseen"]),
        paraphrase_over_unseen=difference(own["paraphrase"], own["unseen"]),
        verdict=verdict,
        reason=reason,
    )


def _without_copied_hits(answer: CheckedAnswer) -> ScoreRecord:
    """The score without patterns that are found in copied words only."""
    spans = answer.copying.copied_spans
    kept = [hit for hit in answer.score.hits if not any(hit.start < end and start < hit.end for start, end in spans)]
    return answer.score.model_copy(update={"hits": kept, "patterns": sorted({hit.pattern for hit in kept})})


def difference(first: GainRecord | None, second: GainRecord | None) -> DifferenceOfGainsRecord | None:
    """One gain minus another over other questions, as if the two were independent (MOVER: Zou and Donner 2008).

    Those on a question and on its rewordings mostly rise together, which leaves the interval too wide if anything.
    """
    if first is None or second is None:
        return None
    estimate = first.change - second.change
    return DifferenceOfGainsRecord(
        estimate=estimate,
        low=estimate - math.hypot(first.change - first.low, second.high - second.change),
        high=estimate + math.hypot(first.high - first.change, second.change - second.low),
    )


def learning_verdict(
    seen: GainRecord | None, paraphrase: GainRecord | None, unseen: GainRecord | None, recited: RateRecord | None
) -> tuple[LearningVerdict, str]:
    """The verdict that the head of this module defines, and the figures it rests on.

    seen: gain on trained questions; paraphrase, unseen: gains in own words; recited: parroted on trained questions.
    Without trained or unseen questions nothing is shown; without paraphrases they decide nothing.
    """
    if seen is None or unseen is None or recited is None:
        return "not shown", f"no {'unseen' if unseen is None else 'trained'} question was answered on both sides"
    recites, recites_not = recited.low >= RECITED, recited.high < RECITED
    carries = unseen.low >= WORTH and unseen.p <= VERDICT_LEVEL
    excluded = unseen.high < WORTH
    tied = paraphrase is not None and unseen.change <= paraphrase.change / 2 and _above(paraphrase, unseen)
    ahead = _above(seen, unseen) and (paraphrase is None or _above(seen, paraphrase))
    verdict: LearningVerdict = "not shown"
    if carries and (recites or tied):
        verdict = "both"
    elif carries and recites_not:
        verdict = "learned"
    elif recites and not carries and (ahead or excluded):
        verdict = "memorised"
    elif recites_not and excluded:
        verdict = "neither"
    reworded = "" if paraphrase is None else f", on paraphrases {_points(paraphrase)}"
    return verdict, (
        f"{recited.estimate:.0%} of the answers to trained questions are recited ({recited.low:.0%} to "
        f"{recited.high:.0%}; {RECITED:.0%} counts); gain on trained questions {_points(seen)}; in own words{reworded}"
        f"{',' if reworded else ''} on unseen questions {_points(unseen)}"
    )


def _above(first: GainRecord | None, second: GainRecord | None) -> bool:
    found = difference(first, second)
    return found is not None and found.low > 0


def _points(gain: GainRecord) -> str:
    return f"{100 * gain.change:+.0f} points ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
