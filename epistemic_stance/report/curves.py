"""What happened over the checkpoints: charts, and under each the figures it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import AnalysisRecord, RateRecord
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.training import CheckpointEvaluationRecord, CheckpointMetadata, EpochRecord
from epistemic_stance.report import figures
from epistemic_stance.report.charts import Range, Series, before_and_after, over_epochs
from epistemic_stance.report.gather import RIGHT, Material, ValidatedModel
from epistemic_stance.report.layout import Chart, Section, Table
from epistemic_stance.scoring.measures import PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY

EXPOSURES = ("seen", "paraphrase", "unseen")
KL, ACCURACY = "KL from the base model, nats a token", "Multiple choice questions right"
PREFERENCE, UNDECIDED = "Preference: ", 0.5
HOW_TO_READ = "Hollow diamonds: base model; dots: checkpoint. Bars are 95 % intervals over questions."
ABOUT_TRAINING = (
    "As logged, means over the pairs. None of them says whether the stance moved: loss and margin can be perfect on "
    "the pairs while unseen answers stay as they were."
)
LONGEST_NAME = 24
"""Characters of a category that fit beside a chart."""
SHOWN_EPOCHS = 40
"""Rows of the table under the training curves; of more epochs every so many."""


def sections(material: Material, copied: Sequence[Section]) -> list[Section]:
    """`copied` stands beside the gaps between seen and unseen questions."""
    result = [
        *_training(material),
        *_screening(material),
        *_full_passes(material),
        *_gaps(material),
        *copied,
        *_categories(material),
        *_probes(material),
    ]
    return [Section("Curves", 2), *result] if result else []


def _chosen(material: Material) -> float | None:
    """Its epoch: a dotted line in the charts."""
    chosen = material.selection.chosen if material.selection else None
    return next((model.epoch for model in material.models if model.name == chosen), None)


# --- training ----------------------------------------------------------------------------------------------


def _training(material: Material) -> list[Section]:
    epochs, chosen = material.epochs, _chosen(material)
    if not epochs:
        return []

    def chart(name: str, title: str, columns: Mapping[str, str], share: bool = False) -> Chart:
        numbers = [epoch.epoch for epoch in epochs]
        series = [
            Series(said, numbers, [getattr(epoch, field) for epoch in epochs], colour=place)
            for place, (said, field) in enumerate(columns.items(), start=1)
        ]
        return over_epochs(name, title, series, share=share, chosen=chosen)

    charts = [
        chart("loss", "Loss", {"loss": "avg_loss", "preference part": "preference_loss"}),
        chart(
            "accuracy",
            "Pairs with the chosen answer ahead",
            {"reward margin > 0": "avg_accuracy", "log p(chosen) higher": "absolute_preference"},
            share=True,
        ),
        chart(
            "margin",
            "Reward margin and its parts",
            {"margin": "avg_margin", "chosen": "chosen_reward", "rejected": "rejected_reward"},
        ),
        chart(
            "logps",
            "Log-probability of the answers, nats",
            {"chosen": "chosen_logps", "rejected": "rejected_logps"},
        ),
    ]
    measured: list[tuple[float, CheckpointEvaluationRecord | None]] = [
        *((each.epoch, each.evaluation) for each in epochs),
        *((each.epoch, each.evaluation) for each in material.within),
    ]
    evaluated = sorted((epoch, each.kl_neutral) for epoch, each in measured if each and each.kl_neutral is not None)
    if evaluated:
        series = [Series("KL", [epoch for epoch, _ in evaluated], [value for _, value in evaluated])]
        charts.append(over_epochs("evaluation-kl", "KL while training, nats a token", series, chosen=chosen))
    dotted = " The dotted line is the chosen checkpoint." if chosen is not None else ""
    return [Section("Training", 3, [f"{ABOUT_TRAINING}{dotted}"], [_training_table(epochs, material.within)], charts)]


def _training_table(epochs: Sequence[EpochRecord], within: Sequence[CheckpointMetadata]) -> Table:
    step = -(-len(epochs) // SHOWN_EPOCHS)
    kept = [epoch for number, epoch in enumerate(epochs, start=1) if number % step == 0 or number in (1, len(epochs))]
    rows: dict[float, list[str]] = {
        each.epoch: [
            str(each.epoch),
            f"{each.avg_loss:.4f}",
            figures.percent(each.avg_accuracy),
            f"{each.avg_margin:.3f}",
            f"{each.chosen_logps:.1f}",
            f"{each.rejected_logps:.1f}",
            *_evaluated(each.evaluation),
        ]
        for each in kept
    }
    rows |= {
        each.epoch: [
            f"{each.epoch:.2f}",
            f"{each.loss:.4f}",
            figures.percent(each.accuracy),
            f"{each.avg_margin:.3f}",
            "",
            "",
            *_evaluated(each.evaluation),
        ]
        for each in within
    }
    head = ("epoch", "loss", "accuracy, %", "margin", "log p(chosen)", "log p(rejected)", "KL", "evaluation")
    return Table("Training, by epoch", head, [rows[epoch] for epoch in sorted(rows)], folded=True)


def _evaluated(evaluation: CheckpointEvaluationRecord | None) -> tuple[str, str]:
    """KL and verdict."""
    if evaluation is None:
        return "", ""
    return "" if evaluation.kl_neutral is None else f"{evaluation.kl_neutral:.3f}", evaluation.verdict


# --- rates over checkpoints --------------------------------------------------------------------------------


def _rates(points: Sequence[tuple[float, RateRecord | None]], name: str, colour: int = 1) -> Series:
    known = [(epoch, rate) for epoch, rate in points if rate]
    return Series(
        name,
        [epoch for epoch, _ in known],
        [rate.estimate for _, rate in known],
        [rate.low for _, rate in known],
        [rate.high for _, rate in known],
        colour,
    )


def _screening(material: Material) -> list[Section]:
    screening = material.screening
    if screening is None or not screening.models:
        return []
    groups = [measure.name for measure in screening.models[0].measures if measure.kind == "group"]
    result = {
        name: [
            (model.epoch or 0, next((measure.rate for measure in model.measures if measure.name == name), None))
            for model in screening.models
        ]
        for name in groups
    }
    charts = [
        over_epochs(
            f"screen-{name}",
            said(name).capitalize(),
            [_rates(result[name], name)],
            share=True,
            chosen=_chosen(material),
        )
        for name in groups
    ]
    rows = [
        [model.name, *(figures.interval(result[name][number][1]) for name in groups)]
        for number, model in enumerate(screening.models)
    ]
    asked = sum(each.answers for each in screening.sets)
    text = (
        f"A cheap look at every checkpoint: {asked} answers of each to select questions. Bars are 95 % intervals over "
        f"questions. Worth full answers by {screening.ranked_by}: {', '.join(screening.promising) or 'none'}."
    )
    table = Table("Screen, in percent of answers", ("model", *map(said, groups)), rows, folded=True)
    return [Section("Pattern rates over all checkpoints (screen)", 3, (text,), [table], charts)]


def _full_passes(material: Material) -> list[Section]:
    selection = material.selection
    judged = [candidate for candidate in selection.candidates if candidate.criteria] if selection else []
    if not judged:
        return []
    charts, rows = [], []
    for place, first in enumerate(judged[0].criteria):
        column = [(each.epoch, each.criteria[place].rate) for each in judged]
        points = [(0, first.base), *column]
        rows.append([first.title, *(figures.interval(rate) for _, rate in points)])
        bound = first.at_least if first.at_least is not None else first.at_most
        if bound is None or not any(rate for _, rate in column):
            continue
        sign = "\u2265" if first.at_least is not None else "\u2264"
        title = f"{first.title} ({sign} {100 * bound:g} %)"
        series = [_rates(points, first.name)]
        chosen = _chosen(material)
        charts.append(over_epochs(f"full-{first.name}", title, series, share=True, bound=bound, chosen=chosen))
    text = "Full answers of base and validated checkpoints to unseen report questions. The dashed line is the bound."
    head = ("criterion", "base", *(each.name for each in judged))
    table = Table("Criteria by checkpoint, in percent of answers", head, rows, folded=True)
    return [Section("Criteria over the validated checkpoints", 3, (text,), [table], charts)]


def said(name: str) -> str:
    return name.replace("_", " ")


# --- base and checkpoint -----------------------------------------------------------------------------------


def _both(material: Material) -> list[tuple[str, AnalysisRecord, AnalysisRecord]]:
    """Question sets that were analysed of the base model and of the checkpoint that is shown."""
    base, subject = material.base, material.subject
    if base is None or subject is None:
        return []
    common = [name for name in base.sets if name in subject.sets]
    result = [(name, base.sets[name].analysis, subject.sets[name].analysis) for name in common]
    return [(name, before, after) for name, before, after in result if before and after]


def _headlines(record: AnalysisRecord) -> list[str]:
    """The groups that the stance is about; of another stance all groups."""
    groups = [measure.name for measure in record.measures if measure.kind == "group"]
    return [name for name in groups if name in (PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY)] or groups


def _rate_of(record: AnalysisRecord, name: str, part: str, key: str) -> RateRecord | None:
    measure = next((measure for measure in record.measures if measure.name == name), None)
    if measure is None:
        return None
    parts: Mapping[str, RateRecord | None] = (
        measure.categories if part == "category" else {str(name): rate for name, rate in measure.exposures.items()}
    )
    return parts.get(key)


def _gaps(material: Material) -> list[Section]:
    """Rates on seen, paraphrased and unseen questions, set by set: nothing is pooled over sets asked differently."""
    wanted = material.raising
    both = [each for each in _both(material) if not wanted or each[0] in wanted or _is_known(each[1])]
    rows: dict[str, list[Range]] = {}
    for name in _headlines(both[0][1]) if both else ():
        for exposure in EXPOSURES:
            for question_set, before, after in both:
                first, second = (_rate_of(record, name, "exposure", exposure) for record in (before, after))
                if first or second:
                    rows.setdefault(name, []).append(
                        Range(f"{exposure}: {said(shorten(question_set, LONGEST_NAME))}", first, second)
                    )
    if not rows:
        return []
    charts = [before_and_after(f"gap-{name}", said(name).capitalize(), row) for name, row in rows.items()]
    text = [f"A change that is much larger on seen questions than on unseen ones is memory. {HOW_TO_READ}"]
    asked = {row.name.partition(":")[0] for each in rows.values() for row in each}
    if missing := [name for name in EXPOSURES if name not in asked]:
        text.append(f"Not asked, so unknown: {', '.join(missing)} questions.")
    return [Section("Seen, paraphrased and unseen questions", 3, [" ".join(text)], [_range_table(rows)], charts)]


def _is_known(record: AnalysisRecord) -> bool:
    """Whether the corpus holds some of its questions, or nearly."""
    return any(number for name, number in record.exposure_questions.items() if name != "unseen")


def _categories(material: Material) -> list[Section]:
    """The groups by category in the sets that they should change in, and right answers where there are answer keys."""
    wanted = material.raising
    rows: dict[str, list[Range]] = {}
    both = sorted(_both(material), key=lambda each: each[0] not in (wanted or ()))
    for question_set, before, after in both:
        names = _headlines(before) if not wanted or question_set in wanted else []
        for name in [*names, RIGHT]:
            result = [
                Range(
                    said(shorten(category, LONGEST_NAME)),
                    *(_rate_of(record, name, "category", category) for record in (before, after)),
                )
                for category in before.category_answers
            ]
            result = [each for each in result if each.before or each.after]
            if result:
                rows[f"{said(question_set).capitalize()}: {said(name)}"] = result
    if not rows:
        return []
    charts = [before_and_after(f"category-{n}", title, row) for n, (title, row) in enumerate(rows.items())]
    return [Section("Before and after by category", 3, (HOW_TO_READ,), [_range_table(rows)], charts)]


def _range_table(rows: Mapping[str, Sequence[Range]]) -> Table:
    cells = [
        [said(name), row.name, figures.interval(row.before), figures.interval(row.after)]
        for name, each in rows.items()
        for row in each
    ]
    head = ("measure", "where", "before", "after")
    return Table("Before and after, in percent of answers", head, cells, folded=True, left=(0, 1))


# --- probes ------------------------------------------------------------------------------------------------


def _probes(material: Material) -> list[Section]:
    probed = [model for model in material.models if model.probes]
    if len(probed) < 2:
        return []
    columns: dict[str, list[tuple[float, EstimateRecord | None]]] = {
        KL: [(model.epoch, _kl(model)) for model in probed],
        ACCURACY: [(model.epoch, _accuracy(model)) for model in probed],
    }
    for model in probed:
        for each in model.probes.yes_no if model.probes else ():
            column = columns.setdefault(f"{PREFERENCE}{said(each.question_set)}", [])
            column.append((model.epoch, each.overall.preference))
    columns = {title: column for title, column in columns.items() if any(value for _, value in column)}
    chosen = _chosen(material)
    charts = [
        over_epochs(
            f"probe-{number}",
            title,
            [_estimates(column)],
            share=title != KL,
            bound=UNDECIDED if title.startswith(PREFERENCE) else None,
            chosen=chosen,
        )
        for number, (title, column) in enumerate(columns.items())
    ]
    known = {title: dict(column) for title, column in columns.items()}
    rows = [[model.name, *(figures.estimate(known[title].get(model.epoch)) for title in columns)] for model in probed]
    text = (
        "What probabilities say, without a sampled answer. KL: on a neutral text. Preference: how far yes and no lean "
        "to the tendency that a set asks about; the dashed line is undecided. Bars are 95 % intervals."
    )
    return [Section("Probes", 3, (text,), [Table("Probes", ("model", *columns), rows, folded=True)], charts)]


def _kl(model: ValidatedModel) -> EstimateRecord | None:
    return model.probes.neutral.kl if model.probes and model.probes.neutral else None


def _accuracy(model: ValidatedModel) -> EstimateRecord | None:
    result = model.probes.choices.overall if model.probes and model.probes.choices else None
    return (
        EstimateRecord(value=result.accuracy, se=None, low=result.low, high=result.high, units=result.questions)
        if result
        else None
    )


def _estimates(column: Sequence[tuple[float, EstimateRecord | None]]) -> Series:
    known = [(epoch, each) for epoch, each in column if each]
    return Series(
        "value",
        [epoch for epoch, _ in known],
        [each.value for _, each in known],
        [each.low for _, each in known],
        [each.high for _, each in known],
    )
