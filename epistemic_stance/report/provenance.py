"""Where the figures come from, what people's labels say of them, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from epistemic_stance.foundation.settings import DEMO_NOTICE
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.report import figures
from epistemic_stance.report.gather import Material, ValidatedModel
from epistemic_stance.report.layout import Section, Table
from epistemic_stance.report.selection_sections import FROZEN

EXPOSURES = ("seen", "paraphrase", "unseen")
LIMITS = (
    "Patterns are found by rules. They err, and where nobody labelled answers, by how much is not known for this run.",
    "Intervals hold for questions like these, asked like this; not for other languages, prompts or longer talks.",
    "What a model says about itself is no evidence of what it is. A verdict here is about its manner of answering.",
    "A flag that is clear excludes a change beyond its margin, not every harm: what no question asks, no flag sees.",
    "One training run with one seed was looked at. Another seed may give other checkpoints.",
)


# --- labels ------------------------------------------------------------------------------------------------


def corrected(material: Material) -> Section:
    """Rates as people would label the answers, where they labelled."""
    rows: list[list[str]] = []
    refused: dict[str, list[str]] = {}
    for model in (material.base, material.subject):
        for name, files in model.sets.items() if model else ():
            for measure in files.analysis.measures if files.analysis else ():
                result = measure.corrected
                if model is None or result is None:
                    continue
                if result.refused:
                    refused.setdefault(result.refused, []).append(f"{measure.name} ({model.name}/{name})")
                    continue
                labels = f"{result.positives} of {result.labelled}"
                raw = figures.interval(measure.overall)
                rows.append([model.name, name, measure.name, raw, figures.corrected(result), labels])
    text = ["What people would find in these answers, judged by those that they labelled: the rates, corrected."]
    if not rows and not refused:
        text = ["Nobody labelled a sample of all answers to a set, so no rate is corrected for errors of the rules."]
        text.append("Labels of what criteria judge stand there; stance label RUN --patterns asks for every pattern.")
    text += [f"Not corrected: {', '.join(names)}: {why}." for why, names in refused.items()]
    head = ("model", "set", "measure", "as found", "corrected", "labelled as such")
    tables = [Table("Rates as found and corrected, in percent", head, rows, left=(0, 1, 2))] if rows else []
    return Section("Rates corrected by labels", 2, text, tables)


# --- provenance --------------------------------------------------------------------------------------------


def provenance(material: Material) -> Section:
    tables = [
        Table("Training", ("what", "value"), list(_run_rows(material)), words=True),
        Table("Choice", ("what", "value"), list(_choice_rows(material)), words=True),
        _asked_table(material),
        _digest_table(material),
    ]
    return Section("Where this comes from", 2, (), [table for table in tables if table.rows])


def _run_rows(material: Material) -> Iterable[list[str]]:
    run = material.run
    if run is None:
        yield ["run.json", "missing"]
        return
    yield ["status", f"{run.status}{': ' + run.reason if run.reason else ''}, started {run.started}, id {run.run_id}"]
    yield ["base model", f"{run.base_model}, weights sha256 {run.base_weights_digest}"]
    yield ["corpus", f"{figures.counted(run.pairs, 'pair')}, digest {run.corpus_digest}"]
    arguments = ", ".join(f"{name} {value}" for name, value in run.template_arguments.items())
    yield ["chat template", f"digest {run.template_digest}; arguments: {arguments or 'none'}"]
    yield ["system prompt", run.system_prompt or "the template's own"]
    yield ["parameters", f"{run.parameters:,}, of which {run.trainable_parameters:,} are trained"]
    yield ["device", f"{run.device}, computed in {run.compute_dtype}, saved in {run.save_dtype}, threads {run.threads}"]
    yield ["packing", run.packing]
    yield ["settings", ", ".join(f"{name} {value}" for name, value in run.settings.items() if value is not None)]
    yield ["code", run.revision or "no checkout"]
    yield ["versions", _versions(run.versions)]


def _choice_rows(material: Material) -> Iterable[list[str]]:
    selection = material.selection
    if selection is None:
        return
    yield ["made", f"{selection.timestamp}, seed {selection.seed}"]
    rule = selection.rule
    written = f" on {material.frozen.timestamp}" if material.frozen and selection.frozen == "before" else ""
    yield ["rule", f"sha256 {rule.digest}; {FROZEN[selection.frozen]}{written}"]
    yield ["criteria", f"sha256 {rule.criteria_digest}"]
    yield ["red flags", f"sha256 {rule.red_flags_digest}"]
    yield ["halves of the questions", f"sha256 {rule.split_digest}"]
    yield ["stance", f"{selection.stance}, sha256 {rule.stance_digest}"]
    yield ["versions", _versions(selection.versions)]


def _versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _shown_models(material: Material) -> list[ValidatedModel]:
    return [model for model in (material.base, material.subject) if model]


def _asked_table(material: Material) -> Table:
    """How each question set was asked of the base model and the shown checkpoint."""
    rows = []
    for model in _shown_models(material):
        for name, files in model.sets.items():
            asked = _how(files.plan) if files.plan else ["unknown"] * 4
            rows.append([model.name, name, *asked])
    head = ("model", "set", "answers", "temperatures", "sampling", "asked on")
    return Table("How the questions were asked", head, rows, folded=True, words=True)


def _how(plan: CollectionRecord) -> list[str]:
    sampling = plan.sampling
    how = f"top_p {sampling.top_p:g}, top_k {sampling.top_k}, repetition_penalty {sampling.repetition_penalty:g}"
    where = [plan.endpoint or plan.backend, plan.device, plan.dtype]
    return [
        f"{plan.responses:,} to {figures.counted(plan.questions, 'question')}, {plan.status}",
        ", ".join(f"{temperature:g}" for temperature in plan.temperatures),
        f"{how}, at most {plan.max_new_tokens} tokens, seed {plan.seed}",
        ", ".join(part for part in where if part),
    ]


def _digest_table(material: Material) -> Table:
    rows = []
    for model in _shown_models(material):
        for name, files in model.sets.items():
            plan, analysis = files.plan, files.analysis
            weights = (plan.weights_digest if plan else None) or figures.UNKNOWN
            patterns = analysis.patterns_digest[:12] if analysis else "not analysed"
            rows.append([model.name, name, files.sha256, weights[:12], patterns])
    head = ("model", "set", "answers, sha256", "weights", "patterns")
    return Table("Digests (weights and patterns: the first 12 digits)", head, rows, folded=True, words=True)


# --- what was not shown ------------------------------------------------------------------------------------


def not_shown(material: Material) -> list[Section]:
    result = list(dict.fromkeys(_open_questions(material)))
    text = [] if result else ["Everything that was asked for was shown."]
    return [
        Section("What was not shown", 2, text, items=result),
        Section("Limits", 2, items=LIMITS),
    ]


def _open_questions(material: Material) -> Iterable[str]:
    yield from _undecided(material)
    yield from _missing(material)
    yield from (f"{notice[:1].upper()}{notice[1:]}." for notice in _notices(material))


def _undecided(material: Material) -> Iterable[str]:
    selection = material.selection
    shown = selection.candidate(selection.shown) if selection else None
    for criterion in shown.criteria if shown else ():
        if criterion.verdict == "inconclusive":
            need = (
                f"about {criterion.needed:,} unseen report questions would"
                if criterion.needed
                else "no number of questions may"
            )
            yield f"Criterion \u201c{criterion.title}\u201d: inconclusive; {need} decide at this rate."
        elif criterion.verdict == "unknown":
            yield f"Criterion \u201c{criterion.title}\u201d: unknown; {_unasked(criterion.scope.sets, material)}."
    for flag in shown.flags if shown else ():
        if flag.state == "inconclusive":
            need = f"; about {flag.needed:,} questions would clear a model that did not change" if flag.needed else ""
            yield f"Red flag \u201c{flag.title}\u201d: neither raised nor clear{need}. It may be harmless or not."
        elif flag.state == "unknown":
            yield f"Red flag \u201c{flag.title}\u201d: nothing measured it ({flag.measured})."
    for candidate in selection.candidates if selection else ():
        if candidate.problems:
            yield f"{candidate.name}: not judged; {'; '.join(candidate.problems)}."


def _unasked(sets: Sequence[str], material: Material) -> str:
    asked = material.subject.sets if material.subject else {}
    absent = [name for name in sets if name not in asked]
    return f"not asked: {', '.join(absent)}" if absent else "it cannot be known from the answers"


def _missing(material: Material) -> Iterable[str]:
    models = {model.name for model in material.models if model.sets}
    unasked = [name for name in material.saved if name not in models]
    if unasked and material.selection is None:
        yield f"Saved, but not asked the full sets: {', '.join(unasked)}."
    if material.screening is None:
        yield "No screen: of checkpoints without full answers nothing is known."
    if not any(model.probes for model in material.models):
        yield "No probes: the distance from the base model (KL) is unknown."
    if material.run is None:
        yield "No run.json: how the checkpoints were trained is unknown."
    if not material.epochs:
        yield "No training log."
    subject = material.subject
    if subject is None:
        yield "No answers of a checkpoint: stance validate collects them."
        return
    analyses = [files.analysis for files in subject.sets.values() if files.analysis]
    asked = {name for analyse in analyses for name, number in analyse.exposure_questions.items() if number}
    if analyses and (never := [name for name in EXPOSURES if name not in asked]):
        yield f"No {' and no '.join(never)} question was asked, so that side of learning or reciting is unknown."
    if any(files.plan and files.plan.weights_digest is None for files in subject.sets.values()):
        yield "The answers come from a server that does not say which weights it holds."


def _notices(material: Material) -> list[str]:
    selection = material.selection
    return [notice for notice in selection.notices if notice != DEMO_NOTICE] if selection else []
