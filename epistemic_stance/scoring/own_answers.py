"""Which of a model's own answers to training questions can stand as the rejected answers of their pairs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from epistemic_stance.foundation.similarity import SimilarTexts
from epistemic_stance.records.written import TrainingPair
from epistemic_stance.scoring.final_answer import final_answer, verdict_of
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.stance.check_pairs import NEAR_ANSWER


@dataclass(frozen=True)
class Suggestion:
    """A pair with the model's own answer as its rejected one, or as it was."""

    pair: TrainingPair
    replaced: bool
    why: str


def suggested(
    pair: TrainingPair, answer: str, *, cut_off: bool, patterns: PatternSet, unwanted: Collection[str]
) -> Suggestion:
    """Take an own answer that shows what the corpus removes; keep the written one where it does not.

    Args:
        cut_off: whether the answer reached its limit of tokens; what was meant to follow is unknown.
        unwanted: as `unwanted_patterns` says of the whole corpus.
    """
    if not answer:
        return Suggestion(pair, False, "its own answer is empty")
    if cut_off:
        return Suggestion(pair, False, "its own answer is cut off")
    if SimilarTexts(NEAR_ANSWER, [pair.good_response]).find(answer):
        return Suggestion(pair, False, "its own answer is like the chosen one")
    found = {hit.pattern for hit in patterns.find(answer, pair.question, pair.category)}
    shown = sorted(found & set(unwanted) - set(pair.pattern_added))
    if shown:
        changes = {"bad_response": answer, "pattern_removed": shown}
        return Suggestion(pair.model_copy(update=changes), True, ", ".join(shown))
    chosen, own = (verdict_of(final_answer(text), pair.question) for text in (pair.good_response, answer))
    if {chosen, own} == {"yes", "no"}:
        return Suggestion(pair.model_copy(update={"bad_response": answer}), True, f"says {own} instead of {chosen}")
    return Suggestion(pair, False, "nothing unwanted was found in its own answer")


def unwanted_patterns(pairs: Sequence[TrainingPair], patterns: PatternSet) -> set[str]:
    """Patterns of the stance that a corpus removes: those its pairs name, or that the rules find in the rejected
    answer and not in the chosen one of a pair without labels."""

    def found(text: str, pair: TrainingPair) -> set[str]:
        return {hit.pattern for hit in patterns.find(text, pair.question, pair.category)}

    removed: set[str] = set()
    for pair in pairs:
        if pair.pattern_removed:
            removed.update(pair.pattern_removed)
        else:
            removed.update(found(pair.bad_response, pair) - found(pair.good_response, pair))
    return removed & patterns.patterns.keys()
