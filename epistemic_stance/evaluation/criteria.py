"""Success criteria: a rate on unseen questions that nobody chose by, against a bound, with three possible verdicts."""

from __future__ import annotations

from math import ceil

from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.validation import CriterionRecord, CriterionVerdict
from epistemic_stance.records.written import Criterion, Scope

FEWEST_FOR_ALL = 60
"""Unseen questions below which "all of them" is not confirmed: 59 clean ones rule out that more than 5 % fail, at
one-sided 95 % (1 - .05 ** (1 / 59) = .0495)."""


def judge_criterion(
    criterion: Criterion, base: ModelEvidence, model: ModelEvidence, evaluator: Evaluator
) -> CriterionRecord:
    """On the report questions; the base model is never judged, only shown.

    What rules tell is "met" only where people labelled answers of this very model: of the answers of shifted models
    that rules called pragmatic, readers agreed with 10 to 32 % (docs/measurements.md).
    """
    rate = evaluator.rate(model, criterion, "report")
    corrected = evaluator.corrected(model, criterion, "report")
    by_rules = bool(evaluator.measure_of(criterion).patterns) and (corrected is None or corrected.estimate is None)
    verdict, needed = decide(criterion, rate, corrected)
    if verdict == "met" and by_rules:
        verdict = "met by rules"
    small = criterion.plain
    return CriterionRecord(
        name=criterion.name,
        title=criterion.title,
        scope=Scope.model_validate({name: getattr(criterion, name) for name in Scope.model_fields}),
        at_least=criterion.at_least,
        at_most=criterion.at_most,
        base=evaluator.rate(base, criterion, "report"),
        rate=rate,
        corrected=corrected,
        base_corrected=evaluator.corrected(base, criterion, "report"),
        labelled_by=model.annotators(criterion) if corrected else [],
        change=evaluator.change(base, model, criterion, "report"),
        verdict=verdict,
        needed=needed,
        plain_base=evaluator.plain_rate(base, small) if small else None,
        plain=evaluator.plain_rate(model, small) if small else None,
    )


def decide(
    criterion: Criterion, rate: RateRecord | None, corrected: CorrectedRateRecord | None = None
) -> tuple[CriterionVerdict, int | None]:
    """The verdict, and of an inconclusive one how many questions would decide at this rate (None: no number would).

    Met: the whole 95 % interval is on the right side of the bound; not met: all of it is on the wrong one. "All" (at
    least 1) has no interval on its right side, so it is met by FEWEST_FOR_ALL questions of which every answer shows it,
    and not met by a single answer that does not. Where people labelled enough, the interval is of the corrected rate,
    and the number that of labels.
    """
    if rate is None:
        return "unknown", None
    if criterion.at_least is None and criterion.at_most is None:
        return "measured", None
    if criterion.at_least == 1:
        return _all(rate)
    estimate, low, high, units = rate.estimate, rate.low, rate.high, rate.questions
    if corrected and corrected.estimate is not None and corrected.low is not None and corrected.high is not None:
        estimate, low, high, units = corrected.estimate, corrected.low, corrected.high, corrected.labelled
    if criterion.at_most is not None:
        # The same question about the answers that do not show it.
        bound, estimate, low, high = 1 - criterion.at_most, 1 - estimate, 1 - high, 1 - low
    else:
        assert criterion.at_least is not None
        bound = criterion.at_least
    if low >= bound:
        return "met", None
    if high < bound:
        return "not met", None
    return "inconclusive", units_needed(units, estimate, low, high, bound)


def _all(rate: RateRecord) -> tuple[CriterionVerdict, int | None]:
    if rate.estimate < 1:
        return "not met", None
    return ("met", None) if rate.questions >= FEWEST_FOR_ALL else ("inconclusive", FEWEST_FOR_ALL)


def units_needed(units: int, estimate: float, low: float, high: float, bound: float) -> int | None:
    """Questions, or labels, whose interval would just leave out the bound, were the estimate to stay; None if it is it.

    Intervals shrink with the root of their number, at a rate of 0 or 1 with the number itself.
    """
    distance = abs(estimate - bound)
    if distance < 1e-9:
        return None
    reach = estimate - low if estimate > bound else high - estimate
    power = 1 if estimate in (0.0, 1.0) else 2
    return max(ceil(units * (reach / distance) ** power), units + 1)
