"""Learning or reciting: what the answers copy from the chosen answers of the pairs, beside what the base model does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from epistemic_stance.records.parroting import LearningRecord, ParrotingRecord
from epistemic_stance.report.browser import AnswerPair, Answers, Side
from epistemic_stance.report.figures import change, percent
from epistemic_stance.report.layout import Cell, Section, Table

EXPOSURES = ("seen", "paraphrase", "unseen", "unknown")
MOST_PAIRS = 10
ABOUT_COPIED = (
    "Base model \u2192 checkpoint, plain shares of all answers; red flags judge them with intervals. Parroted: words "
    "copied from a chosen answer beyond what the base model reaches by chance. Copied: share of an answer's words in "
    "copied runs, on average. Longest run: in words."
)
ABOUT_LEARNING = (
    "Questions of the training pairs, rewordings of them, and unseen ones of the same kind, against the base model. "
    "In own words: without answers that are copied, and without what is found in copied words only. What holds on "
    "unseen questions in own words was learned; what shows on trained questions alone was memorised."
)


def sections(answers: Answers | None, parroting: ParrotingRecord | None) -> list[Section]:
    """Nothing where the pairs of the run are not known."""
    result = [_learning(parroting.learning)] if parroting else []
    pairs = [pair for pair in answers.pairs if pair.after.copying] if answers else []
    if pairs:
        tables = [table for table in (_by_exposure(pairs), _by_source(pairs)) if table.rows]
        result.append(Section("Copied from the pairs", 3, (), tables, text=(ABOUT_COPIED,)))
    return result


def _learning(learning: LearningRecord) -> Section:
    """The verdict, and the gains on the three matched sets that it rests on."""
    rows = [
        [exposure, change(learning.gains.get(exposure)), change(learning.own_words.get(exposure))]
        for exposure in ("seen", "paraphrase", "unseen")
    ]
    lead = [f"{learning.verdict[:1].upper()}{learning.verdict[1:]}: {learning.reason}."]
    caption = f"Change of {learning.measure}, in points [95 %]"
    return Section(
        "Learning or memory",
        3,
        lead,
        [Table(caption, ("questions", "all answers", "in own words"), rows)],
        text=(ABOUT_LEARNING,),
    )


def _by_exposure(pairs: Sequence[AnswerPair]) -> Table:
    rows = []
    for exposure in EXPOSURES:
        part = [pair for pair in pairs if (pair.after.score.exposure if pair.after.score else "unknown") == exposure]
        if not part:
            continue
        before, after = ([pair.before for pair in part], [pair.after for pair in part])
        rows.append(
            [
                exposure,
                f"{len(part):,}",
                f"{percent(_parroted(before))} \u2192 {percent(_parroted(after))}",
                f"{percent(_copied(before))} \u2192 {percent(_copied(after))}",
                f"{_longest(before)} \u2192 {_longest(after)}",
            ]
        )
    head = ("questions", "answers", "parroted, %", "copied, %", "longest run")
    return Table("Copying in answers to seen, reworded and unseen questions", head, rows)


def _by_source(pairs: Sequence[AnswerPair]) -> Table:
    """Pairs of the corpus that the checkpoint's parroted answers copy from."""
    sources = [pair.after.copying for pair in pairs if pair.after.parroted and pair.after.copying]
    counted = Counter(source.pair_id for source in sources if source.pair_id)
    rows: list[list[Cell | str]] = [
        [name, f"{number:,}", str(max(source.run_words for source in sources if source.pair_id == name))]
        for name, number in sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:MOST_PAIRS]
    ]
    caption = f"Pairs that are parroted most (of {len(counted)})"
    return Table(caption, ("pair", "answers", "longest run"), rows, folded=True)


def _parroted(sides: Sequence[Side]) -> float:
    return fmean(side.parroted for side in sides)


def _copied(sides: Sequence[Side]) -> float:
    return fmean(side.copying.copied_share if side.copying else 0.0 for side in sides)


def _longest(sides: Sequence[Side]) -> int:
    return max(side.copying.run_words if side.copying else 0 for side in sides)
