"""`stance select`: evaluate every checkpoint of a run by its answers and probes, and choose one by the written rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from epistemic_stance.evaluation.choice import capability_of, choose, guide_band
from epistemic_stance.evaluation.computed_flags import COMPUTED_FLAGS, FlagContext
from epistemic_stance.evaluation.criteria import judge_criterion
from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import (
    ModelEvidence,
    is_demo,
    models_with_answers,
    notices_of,
    problems_of,
    read_evidence,
)
from epistemic_stance.evaluation.gains import gains_of
from epistemic_stance.evaluation.red_flags import judge_flag
from epistemic_stance.evaluation.rule import rule_of, state_of_rule
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, NotMetError, Problem, RefusedError, UnconfirmedError
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.reporter import Progress, Reporter
from epistemic_stance.foundation.settings import DEFAULT_STANCE, DEMO_NOTICE, SelectSettings
from epistemic_stance.records.run_folder import RunFolder, write_record
from epistemic_stance.records.validation import CandidateRecord, GainRecord, SelectionRecord
from epistemic_stance.records.written import SelectionAxes
from epistemic_stance.scoring.measures import measures_of
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import STANCE_FILE, Stance, load_stance_and_pairs
from epistemic_stance.stance.pairs import corpus_digest
from epistemic_stance.stance.trained_questions import TRAINED


def run(settings: SelectSettings, reporter: Reporter) -> SelectionRecord:
    """Evaluate and choose; writes selection.json.

    Raises InputError for a run, stance or answers that cannot be read, and RefusedError if the answers of the base are
    of more than one model.
    """
    if settings.seed < 0:
        raise InputError([Problem("command line", f"expected 0 or more, found {settings.seed}", field="--seed")])
    if not settings.run.is_dir():
        hint = "name the --output-dir of a training run"
        raise InputError([Problem(str(settings.run), "no such run folder", hint=hint)])
    run_folder = RunFolder(settings.run)
    stance, scorer = _scorer(settings, run_folder)
    axes = stance.selection
    if axes is None:
        what = "has no [selection], which says what a checkpoint is chosen by"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, hint="the shipped stance shows how")])
    base, models = _read(run_folder, stance, axes, scorer, reporter)
    measures = {measure.name: measure for measure in measures_of(scorer.patterns.patterns)}
    evaluator = Evaluator(measures, settings.seed)
    context = FlagContext(run_folder, stance, axes, base, evaluator, scorer.questions)
    record = _record(context, models, corpus_digest(scorer.pairs))
    write_record(run_folder.selection, record)
    return record


def require_success(record: SelectionRecord, run: Path) -> None:
    """Inconclusive is no failure.

    Raises NotMetError if none qualifies, or the chosen one does not meet a criterion; UnconfirmedError if one is met by
    rules alone.
    """
    chosen = record.candidate(record.chosen)
    if chosen is None:
        raise NotMetError(record.reason, "the table of checkpoints says why of each; a red flag says what to try")
    failed = [criterion.name for criterion in chosen.criteria if criterion.verdict == "not met"]
    if failed:
        raise NotMetError(f"{chosen.name} does not meet {', '.join(failed)}")
    unconfirmed = [criterion for criterion in chosen.criteria if criterion.verdict == "met by rules"]
    if unconfirmed:
        names = ", ".join(criterion.name for criterion in unconfirmed)
        hint = f"fill in the sheet in {RunFolder(run).labels}; then the same command judges by what it says"
        if any(criterion.corrected for criterion in unconfirmed):
            hint += f"; {program()} label {run} --number adds answers"
        raise UnconfirmedError(f"{chosen.name} meets {names} by rules that were not checked on its answers", hint)


def sets_evaluated(stance: Stance) -> list[str]:
    """Question sets that criteria, red flags or the choice name, in the order of the stance: what is to be asked."""
    scopes = [*stance.criteria, *(flag.answers for flag in stance.red_flags if flag.answers)]
    scopes += [criterion.plain for criterion in stance.criteria if criterion.plain]
    if stance.selection:
        scopes += [stance.selection.gain, stance.selection.capability]
    named = {name for scope in scopes for name in scope.sets}
    return [name for name in stance.question_sets if name in named]


def sets_for_learning(stance: Stance) -> list[str]:
    """What tells memory from learning: sets that reword the questions of the corpus, and these themselves."""
    sets = stance.question_sets.items()
    rewording = [name for name, each in sets if any(question.paraphrase_of for question in each.questions)]
    return [*rewording, TRAINED]


# --- reading -----------------------------------------------------------------------------------------------


def _scorer(settings: SelectSettings, run_folder: RunFolder) -> tuple[Stance, Scorer]:
    """With the stance and corpus of the run, unless the settings name others."""
    record = run_folder.record()
    recorded = record.settings if record else {}
    of_run = recorded.get("corpus")
    corpus = settings.corpus or (Path(of_run) if of_run else None)
    stance, pairs = load_stance_and_pairs(settings.stance or recorded.get("stance") or DEFAULT_STANCE, corpus)
    return stance, Scorer(stance, pairs)


def _read(
    run_folder: RunFolder, stance: Stance, axes: SelectionAxes, scorer: Scorer, reporter: Reporter
) -> tuple[ModelEvidence, list[ModelEvidence]]:
    models = []
    wanted = dict.fromkeys([*sets_evaluated(stance), *sets_for_learning(stance)])
    names = models_with_answers(run_folder)
    for number, name in enumerate(names):
        reporter(Progress(number, len(names), "models", name))
        models.append(read_evidence(run_folder, name, wanted, scorer))
    base, *others = models
    if lacking := base.missing(axes.gain):
        hint = f"stance collect --questions {lacking[0]} asks it; every checkpoint needs it, too"
        what = f"no answers of the base model to {', '.join(lacking)}, by which a checkpoint is chosen"
        raise InputError([Problem(str(run_folder.root), what, hint=hint)])
    if len(base.weights) > 1:
        what = f"the answers and probes in {base.sets[axes.gain.sets[0]].file.path.parents[1]} are of "
        raise RefusedError(f"{what}{len(base.weights)} models", "collect and probe one base model")
    return base, others


# --- the record --------------------------------------------------------------------------------------------


def _record(context: FlagContext, models: list[ModelEvidence], corpus: str) -> SelectionRecord:
    stance, base, run_folder, evaluator = context.stance, context.base, context.run, context.evaluator
    problems = {model.name: list(problems_of(base, model, sets_evaluated(stance))) for model in models}
    sound = [model for model in models if not problems[model.name]]
    gains, report_gains = (
        dict(zip((model.name for model in sound), each, strict=True))
        for each in (gains_of(base, sound, context.axes.gain, split, evaluator) for split in ("select", "report"))
    )
    candidates = [
        _candidate(context, model, problems[model.name], gains.get(model.name), report_gains.get(model.name))
        for model in models
    ]
    choice = choose(candidates)
    rule = rule_of(stance)
    return SelectionRecord(
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        run=str(run_folder.root),
        stance=stance.name,
        corpus_digest=corpus,
        rule=rule,
        frozen=state_of_rule(run_folder, rule),
        seed=evaluator.seed,
        base_answers=_answers(base),
        base_sha256=_digests(base),
        notices=[
            *([DEMO_NOTICE] if is_demo([base, *models]) else []),
            *_absent(stance, base),
            *_not_validated(run_folder, models),
            *notices_of([base, *models], corpus),
        ],
        candidates=choice.candidates,
        chosen=choice.chosen,
        reason=choice.reason,
        shown=choice.chosen or _highest(choice.candidates),
        best_by_loss=_best_by_loss(run_folder),
        versions=versions(),
    )


def _candidate(
    context: FlagContext,
    model: ModelEvidence,
    problems: list[str],
    gain: GainRecord | None,
    report_gain: GainRecord | None,
) -> CandidateRecord:
    """Of one that was asked otherwise than the base model no figure is given: none would mean anything."""
    assert model.epoch is not None
    stance, base, evaluator = context.stance, context.base, context.evaluator
    neutral = model.probes.neutral if model.probes else None
    criteria = [] if problems else [judge_criterion(criterion, base, model, evaluator) for criterion in stance.criteria]
    written = [] if problems else [judge_flag(flag, base, model, evaluator) for flag in stance.red_flags]
    computed = [] if problems else [flag.judge(context, model) for flag in COMPUTED_FLAGS]
    return CandidateRecord(
        name=model.name,
        epoch=model.epoch,
        band=guide_band(model.epoch),
        loss=model.loss,
        answers=_answers(model),
        sha256=_digests(model),
        problems=problems,
        gain=gain,
        report_gain=report_gain,
        capability=None if problems else capability_of(base, model, context.axes, evaluator),
        kl=neutral.kl if neutral else None,
        criteria=criteria,
        flags=[*written, *computed],
        parroting=None if problems else context.parroting(model),
        on_front=False,
        near_best=False,
        note="",
    )


def _answers(model: ModelEvidence) -> dict[str, int]:
    return {name: len(answered.file.responses) for name, answered in model.sets.items()}


def _digests(model: ModelEvidence) -> dict[str, str]:
    return {name: answered.file.sha256 for name, answered in model.sets.items()}


def _highest(candidates: Sequence[CandidateRecord]) -> str | None:
    gains = {candidate.name: candidate.gain.change for candidate in candidates if candidate.gain}
    return max(gains, key=gains.__getitem__) if gains else None


def _absent(stance: Stance, base: ModelEvidence) -> list[str]:
    absent = [name for name in sets_evaluated(stance) if name not in base.sets]
    return [f"not asked, so what needs them is unknown: {', '.join(absent)}"] if absent else []


def _not_validated(run_folder: RunFolder, models: Sequence[ModelEvidence]) -> list[str]:
    saved = {folder.name for folder in run_folder.checkpoint_folders()}
    left = sorted(saved - {model.name for model in models})
    names = f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
    return [f"{len(left)} of {len(saved)} checkpoints answered nothing and were not judged: {names}"] if left else []


def _best_by_loss(run_folder: RunFolder) -> str | None:
    """The epoch's checkpoint with the lowest training loss, the earliest of equals, whether it was validated or not."""
    losses = []
    for folder in run_folder.checkpoint_folders():
        metadata = run_folder.metadata(folder.name)
        if metadata and isinstance(metadata.epoch, int):
            losses.append((metadata.loss, metadata.epoch, folder.name))
    return min(losses)[2] if losses else None
