"""Learning or parroting: what answers copy from the chosen answers, and whether a gain holds without copying.

The verdict (`learning_verdict`) takes three matched sets: trained questions, rewordings of them, and unseen questions
of the same kind. "In own words" an answer shows the measure, is not parroted, and still shows it when every pattern
found in copied words is taken away. A gain in own words on unseen questions *carries over* if its 95 % interval lies at
or above WORTH and its p value is at most 0.05; an interval below WORTH excludes that. A model
*recites* if the 95 % interval of the share of parroted answers to trained questions lies at or above RECITED, and does
not if it lies below.

- `learned`: the gain carries over, is not clearly smaller than on paraphrases, and the model does not recite. Clearly
  smaller: at most half the gain in own words on paraphrases, and the interval of their difference excludes 0.
- `both`: the gain carries over, and the model recites, or the gain is clearly smaller than on paraphrases.
- `memorised`: the model recites, the gain does not carry over, and either the gain on trained questions is clearly
  larger than the gains in own words on paraphrases and on unseen questions, or it is excluded that it carries over.
- `neither`: the model does not recite, and it is excluded that a gain carries over.
- `inconclusive`: anything else; too few questions, mostly.

Gains on paraphrases and unseen questions are taken in own words, because a model that recites recites there as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from epistemic_stance.evaluation.compare import answers_by_question
from epistemic_stance.evaluation.rates import EXPOSURES, rate_record
from epistemic_stance.foundation.copying import VERBATIM_RUN, VERBATIM_SHARE
from epistemic_stance.records.analysis import CopyingRecord, Exposure, RateRecord, ScoreRecord
from epistemic_stance.records.parroting import (
    CopiedExposureRecord,
    CopiedPairRecord,
    DifferenceOfGainsRecord,
    LearningRecord,
    LearningVerdict,
    NullRecord,
    PairedGainRecord,
    ParrotingRecord,
    SpillRecord,
)
from epistemic_stance.scoring.measures import Measure
from epistemic_stance.scoring.run import Answer
from epistemic_stance.stance.question_index import QuestionIndex
from epistemic_stance.statistics.changes import difference, paired_changes
from epistemic_stance.statistics.estimates import ALPHA, Estimate, IntArray

RECITED = 0.25
"""Share of trained questions answered by parroting from which a model recites. 25 pairs decide between 10 and 50 %."""
WORTH = 0.10
"""Least gain in own words on unseen questions that is worth the name of learning. Answers stitched together from pieces
of chosen ones leave some that no run gives away: 8 points of the demo model's 80 after thirty epochs of recital."""
MOST_PAIRS = 20
NULL_LEVEL = 0.99

Shows = Callable[[Answer], bool | None]
"""Whether an answer does something; None = it is not known."""


@dataclass(frozen=True)
class _Question:
    """A question that both models answered."""

    unit: str
    """Equal for rewordings of one pair and for questions of one matter: they are not independent."""
    exposure: Exposure
    keyed: bool
    before: list[Answer]
    after: list[Answer]


def parroting_of(
    *,
    before: Sequence[Answer],
    after: Sequence[Answer],
    questions: QuestionIndex,
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
    common = _common(before, after, questions)
    kept = [answer for question in common for answer in question.after]
    base = [answer for question in common for answer in question.before]
    null = null_of([answer.score.copying for answer in base])

    def parroted(answer: Answer) -> bool:
        return is_parroted(answer.score.copying, null)

    exposures = {name: [question for question in common if question.exposure == name] for name in EXPOSURES}
    copied = {name: _exposure(part, parroted, seed) for name, part in exposures.items()}
    seen = copied["seen"]
    pairs = _pairs(kept, parroted)
    fitting = [question for question in common if categories is None or question.after[0].score.category in categories]
    return ParrotingRecord(
        seed=seed,
        questions=len(common),
        left_out=len(before) + len(after) - len(base) - len(kept),
        null=null,
        exposures=copied,
        pairs_copied=len(pairs),
        pairs_parroted=sum(pair.parroted > 0 for pair in pairs),
        pairs=pairs[:MOST_PAIRS],
        spill=_spill([exposure for exposure in exposures["unseen"] if exposure.keyed], spilled, seed),
        learning=_learning(
            fitting,
            gained,
            categories=categories,
            parroted=parroted,
            recited=seen.parroted if seen else None,
            seed=seed,
        ),
    )


def _common(before: Sequence[Answer], after: Sequence[Answer], index: QuestionIndex) -> list[_Question]:
    """Questions with answers on both sides, by their text, so that the order of a file decides nothing."""
    first, second = answers_by_question(before), answers_by_question(after)
    questions = []
    for key in sorted(first.keys() & second.keys()):
        score = second[key][0].score
        known = index.lookup(score.question).question
        unit = (known.matter or known.paraphrase_of if known else None) or key
        keyed = known is not None and known.answer is not None
        questions.append(_Question(unit, score.exposure, keyed, first[key], second[key]))
    if not questions:
        raise ValueError("no question was answered on both sides")
    return questions


def null_of(base: Sequence[CopyingRecord]) -> NullRecord:
    """What the base model reaches by chance; of fewer than a hundred answers the highest of each measure."""

    def highest(values: Iterable[float]) -> float:
        return float(np.quantile(list(values), NULL_LEVEL, method="higher"))

    return NullRecord(
        answers=len(base),
        run_words=int(highest(copying.run_words for copying in base)),
        copied_share=highest(copying.copied_share for copying in base),
    )


def is_parroted(copying: CopyingRecord, null: NullRecord) -> bool:
    """Verbatim, by a measure that lies beyond what the base model reaches by chance."""
    long = copying.run_words >= VERBATIM_RUN and copying.run_words > null.run_words
    return long or (copying.copied_share >= VERBATIM_SHARE and copying.copied_share > null.copied_share)


def _counts(questions: Sequence[_Question], measures: Sequence[Shows]) -> IntArray:
    """Hits and answers before and after, (side, unit, measure, 2)."""
    units = {unit: number for number, unit in enumerate(sorted({question.unit for question in questions}))}
    counts_SUM2 = np.zeros((2, len(units), len(measures), 2), dtype=np.int64)
    for question in questions:
        for side, answers in enumerate((question.before, question.after)):
            for column, shows in enumerate(measures):
                known = [shown for answer in answers if (shown := shows(answer)) is not None]
                counts_SUM2[side, units[question.unit], column] += sum(known), len(known)
    return counts_SUM2


def _gains(counts_SUM2: IntArray, seed: int) -> list[PairedGainRecord | None]:
    """The change of each measure; None where nothing is known on one side."""
    (hits_UM, answers_UM), (hits_after_UM, answers_after_UM) = np.moveaxis(counts_SUM2, 3, 1)
    return [
        None
        if change is None
        else PairedGainRecord(
            before=change.before,
            after=change.after,
            change=change.change,
            low=change.low,
            high=change.high,
            p=change.p,
            questions=change.questions,
        )
        for change in paired_changes(hits_UM, answers_UM, hits_after_UM, answers_after_UM, seed)
    ]


def _exposure(questions: Sequence[_Question], parroted: Shows, seed: int) -> CopiedExposureRecord | None:
    if not questions:
        return None
    counts_SUM2 = _counts(questions, [parroted])
    before, after = (rate_record(counts_U2[:, 0], counts_U2[:, 1]) for counts_U2 in counts_SUM2[:, :, 0])
    (change,) = _gains(counts_SUM2, seed)
    assert before is not None
    assert after is not None
    assert change is not None
    base = [answer.score.copying for question in questions for answer in question.before]
    kept = [answer.score.copying for question in questions for answer in question.after]
    return CopiedExposureRecord(
        questions=len(questions),
        answers=len(kept),
        parroted=after,
        parroted_before=before,
        change=change,
        copied_share=fmean(each.copied_share for each in kept),
        copied_share_before=fmean(each.copied_share for each in base),
        longest_run=max(each.run_words for each in kept),
        longest_run_before=max(each.run_words for each in base),
    )


def _pairs(answers: Iterable[Answer], parroted: Shows) -> list[CopiedPairRecord]:
    """Pairs that answers copy from, those recited most often first: memorisation is skewed, a mean would hide it."""
    by_pair: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.score.copying.pair_id is not None:
            by_pair[answer.score.copying.pair_id].append(answer)
    records = [
        CopiedPairRecord(
            pair_id=pair_id,
            nearest=len(near),
            parroted=sum(bool(parroted(answer)) for answer in near),
            longest_run=max(answer.score.copying.run_words for answer in near),
            copied_share=max(answer.score.copying.copied_share for answer in near),
        )
        for pair_id, near in by_pair.items()
    ]
    return sorted(records, key=lambda pair: (-pair.parroted, -pair.longest_run, -pair.nearest, pair.pair_id))


def _spill(questions: Sequence[_Question], measure: Measure, seed: int) -> SpillRecord | None:
    if not questions:
        return None

    def shows(answer: Answer) -> bool:
        return bool(measure.shown(answer.score))

    def copies(answer: Answer) -> bool:
        return bool(answer.score.copying.copied_spans)

    measures = [shows, copies, lambda answer: shows(answer) or copies(answer)]
    of_shows, of_copies, of_either = _gains(_counts(questions, measures), seed)
    assert of_shows is not None
    assert of_copies is not None
    assert of_either is not None
    return SpillRecord(
        questions=len(questions), measure=measure.name, shows=of_shows, copies=of_copies, either=of_either
    )


# --- the verdict -------------------------------------------------------------------------------------------


def _learning(
    questions: Sequence[_Question],
    measure: Measure,
    *,
    categories: Collection[str] | None,
    parroted: Shows,
    recited: RateRecord | None,
    seed: int,
) -> LearningRecord:
    def shows(answer: Answer) -> bool | None:
        return measure.shown(answer.score)

    def in_own_words(answer: Answer) -> bool | None:
        return shows(answer) and not parroted(answer) and bool(measure.shown(_without_copied_hits(answer)))

    gains: dict[Exposure, PairedGainRecord | None] = {}
    own: dict[Exposure, PairedGainRecord | None] = {}
    for exposure in EXPOSURES:
        part = [question for question in questions if question.exposure == exposure]
        gains[exposure], own[exposure] = _gains(_counts(part, [shows, in_own_words]), seed)
    verdict, reason = learning_verdict(gains["seen"], own["paraphrase"], own["unseen"], recited)
    return LearningRecord(
        measure=measure.name,
        categories=None if categories is None else sorted(categories),
        gains=gains,
        own_words=own,
        seen_over_paraphrase=gain_difference(gains["seen"], own["paraphrase"]),
        seen_over_unseen=gain_difference(gains["seen"], own["unseen"]),
        paraphrase_over_unseen=gain_difference(own["paraphrase"], own["unseen"]),
        verdict=verdict,
        reason=reason,
    )


def _without_copied_hits(answer: Answer) -> ScoreRecord:
    """The score without patterns that are found in copied words only."""
    spans = answer.score.copying.copied_spans
    kept = [hit for hit in answer.score.hits if not any(hit.start < end and start < hit.end for start, end in spans)]
    return replace(answer.score, hits=kept, patterns=sorted({hit.pattern for hit in kept}))


def gain_difference(first: PairedGainRecord | None, second: PairedGainRecord | None) -> DifferenceOfGainsRecord | None:
    """One gain minus another over other questions, as if the two were independent.

    Those on a question and on its rewordings mostly rise together, which leaves the interval too wide if anything.
    """
    if first is None or second is None:
        return None
    before, after = (Estimate(gain.change, gain.low, gain.high) for gain in (second, first))
    estimate, low, high = difference(before, after)
    return DifferenceOfGainsRecord(estimate=estimate, low=low, high=high)


def learning_verdict(
    seen: PairedGainRecord | None,
    paraphrase: PairedGainRecord | None,
    unseen: PairedGainRecord | None,
    recited: RateRecord | None,
) -> tuple[LearningVerdict, str]:
    """The verdict that the head of this module defines, and the figures it rests on.

    seen: gain on trained questions; paraphrase, unseen: gains in own words; recited: parroted on trained questions.
    Without trained or unseen questions nothing is shown; without paraphrases they decide nothing.
    """
    if seen is None or unseen is None or recited is None:
        return "inconclusive", f"no {'unseen' if unseen is None else 'trained'} question was answered on both sides"
    recites, recites_not = recited.low >= RECITED, recited.high < RECITED
    carries = unseen.low >= WORTH and unseen.p <= ALPHA
    excluded = unseen.high < WORTH
    tied = paraphrase is not None and unseen.change <= paraphrase.change / 2 and _above(paraphrase, unseen)
    ahead = _above(seen, unseen) and (paraphrase is None or _above(seen, paraphrase))
    verdict: LearningVerdict = "inconclusive"
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


def _above(first: PairedGainRecord | None, second: PairedGainRecord | None) -> bool:
    result = gain_difference(first, second)
    return result is not None and result.low > 0


def _points(gain: PairedGainRecord) -> str:
    return f"{100 * gain.change:+.0f} points ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
