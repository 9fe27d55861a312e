"""The verdict on a checkpoint, from its answers to unseen questions: broken, parrots, shifted, or neither.

Words alone called a collapsed model shifted: it had left the rejected wording, and its salad was made of chosen words.
So an answer counts as one that crossed only if it holds together (`foundation/coherence.py`), and a model that holds
together clearly less often than its base, or says much the same to everything, is broken whatever its wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from epistemic_stance.foundation.coherence import HOLDS, holds_together
from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.foundation.similarity import repetition, words
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.training import AnswerRecord, CheckpointEvaluationRecord
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.statistics.estimates import mean_estimate
from epistemic_stance.training.wording import WordingScale, distance

PARROT_SHARE = 0.30
"""Copied share of unseen answers above which the model recites. Recipes that memorise reach 0.4 and more."""
SHIFT_SHARE = 0.20
"""Least share of unseen answers that have to cross to the chosen side, and hold together, to be called a shift."""
BROKEN_SHARE = 0.70
"""A model whose answers hold together less often than this share of its base's is broken, if that is no chance."""
ALIKE_SHARE = 0.50
"""A model of whose answers so many are like one to another question is broken, if its base has fewer."""
ALIKE = 0.60
"""Words in both of two answers over words in either, those of their questions left out, from which they are alike."""


class AnswerComparer:
    """Compares answers with those of the base model and with the answers of a corpus, word by word."""

    def __init__(self, pairs: Sequence[Pair], scale: WordingScale) -> None:
        self._pairs = pairs
        self._scale = scale
        self._copying = CopyDetector({pair.id: pair.chosen for pair in pairs})

    def record(self, question_id: str, question: str, answer: str, base_answer: str) -> AnswerRecord:
        scale = self._scale
        wording, base_wording = scale.score(answer), scale.score(base_answer)
        return AnswerRecord(
            question_id=question_id,
            question=question,
            answer=answer,
            base_answer=base_answer,
            distance_from_base=distance(answer, base_answer),
            distance_from_chosen=min(distance(answer, pair.chosen) for pair in self._pairs),
            wording=wording,
            base_wording=base_wording,
            crossed=base_wording <= scale.midpoint < wording,
            chosen_wording=scale.chosen_score(answer),
            base_chosen_wording=scale.chosen_score(base_answer),
            copied=self._copying.copying(answer, question).copied_share,
            repetition=repetition(answer),
            holds=holds_together(question, answer),
            base_holds=holds_together(question, base_answer),
        )


def judge(answers: Sequence[AnswerRecord], kl_neutral: float | None) -> CheckpointEvaluationRecord:
    """The verdict with its figures; `answers` are those of at least one question."""
    change = mean_estimate([answer.wording - answer.base_wording for answer in answers])
    held, base_held = fmean(answer.holds for answer in answers), fmean(answer.base_holds for answer in answers)
    holding = mean_estimate([answer.holds - answer.base_holds for answer in answers])
    alike = alike_share([(answer.question, answer.answer) for answer in answers])
    copied = fmean(answer.copied for answer in answers)
    chosen_change = fmean(answer.chosen_wording - answer.base_chosen_wording for answer in answers)
    crossed = sum(answer.crossed and answer.holds >= HOLDS for answer in answers)
    moved = f"{crossed} of {len(answers)} unseen answers crossed to the chosen wording and hold together, "
    moved += f"{copied:.0%} copied (moved {change.value:+.2f}, {_within(change)}; 1 = from rejected to chosen)"
    if holding.high is not None and holding.high < 0 and held < BROKEN_SHARE * base_held:
        verdict = "broken"
        reason = f"about {held:.0%} of the answers hold together, of the base model's {base_held:.0%}; {moved}"
    elif alike >= ALIKE_SHARE and alike > alike_share([(answer.question, answer.base_answer) for answer in answers]):
        verdict, reason = "broken", f"{alike:.0%} of the answers say much the same as one to another question; {moved}"
    elif copied > PARROT_SHARE:
        verdict, reason = "parrots", f"{copied:.0%} of the words of unseen answers are copied from chosen answers"
    elif change.low is None or change.low <= 0 or crossed < SHIFT_SHARE * len(answers):
        verdict, reason = "neither", f"no clear shift: {moved}"
    elif chosen_change <= 0:
        verdict = "neither"
        reason = f"less rejected wording, but no more chosen wording, read the answers: {moved}"
    else:
        verdict, reason = "shifted", moved
    return CheckpointEvaluationRecord(
        verdict=verdict,
        reason=reason,
        crossed=fmean(answer.crossed for answer in answers),
        holds=held,
        base_holds=base_held,
        alike=alike,
        wording_change=change.value,
        wording_change_low=change.low,
        wording_change_high=change.high,
        chosen_wording_change=chosen_change,
        distance_from_base=fmean(answer.distance_from_base for answer in answers),
        distance_from_chosen=fmean(answer.distance_from_chosen for answer in answers),
        copied=copied,
        repetition=fmean(answer.repetition for answer in answers),
        kl_neutral=kl_neutral,
        answers=list(answers),
    )


def alike_share(answers: Sequence[tuple[str, str]]) -> float:
    """Share of answers, given as (question, answer), whose own words are much the same as those of another answer."""
    own = [frozenset(words(answer)) - frozenset(words(question)) for question, answer in answers]

    def is_alike(number: int) -> bool:
        others = (other for index, other in enumerate(own) if index != number)
        return any(len(own[number] & other) >= ALIKE * max(len(own[number] | other), 1) for other in others)

    return sum(map(is_alike, range(len(own)))) / len(own)


def _within(change: EstimateRecord) -> str:
    if change.low is None:
        return "no interval: one question"
    return f"95 % interval {change.low:+.2f} to {change.high:+.2f}"
