"""`stance select`: judge every checkpoint of a run by its answers and probes, and choose one by the written rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from epistemic_stance.evaluation.choice import capability_of, choose, guide_band
from epistemic_stance.evaluation.criteria import judge_criteria
from epistemic_stance.evaluation.evidence import (
    Arm,
    Judge,
    answered_arms,
    is_demo,
    notices_of,
    problems_of,
    read_arm,
)
from epistemic_stance.evaluation.flag_copying import Recital, sets_looked_at
from epistemic_stance.evaluation.flag_displacement import displacement_flag
from epistemic_stance.evaluation.flag_openings import opening_flag
from epistemic_stance.evaluation.gains import gains_of
from epistemic_stance.evaluation.red_flags import ComputedFlag, judge_flags
from epistemic_stance.evaluation.rule import rule_of, state_of_rule
from epistemic_stance.foundation.console import Printer
from epistemic_stance.foundation.errors import InputError, NotMetError, Problem, RefusedError
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.settings import DEFAULT_STANCE, DEMO_NOTICE, SelectSettings
from epistemic_stance.records.run_folder import METADATA_FILE, RunFolder, write_record
from epistemic_stance.records.validation import CandidateRecord, GainRecord, SelectionRecord
from epistemic_stance.records.written import SelectionAxes
from epistemic_stance.report.cards import write_cards
from epistemic_stance.report.selection_tables import print_selection
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import STANCE_FILE, Stance, corpus_digest, load_stance_and_pairs


def run_select(settings: SelectSettings, console: Console) -> None:
    """Choose, write selection.json, print the tables.

    Raises what `select_checkpoint` raises, and NotMetError, after everything is written, if none qualifies or the
    chosen one does not meet a criterion.
    """
    printer = Printer(console)
    record = select_checkpoint(settings, printer)
    path = RunFolder(settings.run).selection
    write_record(path, record)
    write_cards(RunFolder(settings.run), record)
    print_selection(record, console)
    printer.note(f"Written: {path}")
    require_success(record)


def require_success(record: SelectionRecord) -> None:
    """Raises NotMetError if none qualifies, or the chosen one does not meet a criterion. Inconclusive is no failure."""
    chosen = record.candidate(record.chosen)
    if chosen is None:
        raise NotMetError(record.reason, "the table of checkpoints says why of each; a red flag says what to try")
    failed = [one.name for one in chosen.criteria if one.verdict == "not met"]
    if failed:
        raise NotMetError(f"{chosen.name} does not meet {', '.join(failed)}")


def select_checkpoint(settings: SelectSettings, printer: Printer) -> SelectionRecord:
    """Judge and choose; nothing is written.

    Raises InputError for a run, stance or answers that cannot be read, and RefusedError if the answers of the base are
    of more than one model.
    """
    run, seed = settings.run, settings.seed
    if seed < 0:
        raise InputError([Problem("command line", f"expected 0 or more, found {seed}", field="--seed")])
    if not run.is_dir():
        raise InputError([Problem(str(run), "no such run folder", hint="name the --output-dir of a training run")])
    stance, judge = _judge(settings)
    axes = stance.selection
    if axes is None:
        what = "has no [selection], which says what a checkpoint is chosen by"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, hint="the shipped stance shows how")])
    base, arms = _read(run, stance, judge, printer)
    recital = Recital(stance, axes, base, judge)
    computed = [*recital.flags(), opening_flag(axes.gain, judge), displacement_flag(run, axes.gain, seed)]
    problems = {arm.name: list(problems_of(base, arm, sets_judged(stance))) for arm in arms}
    sound = [arm for arm in arms if not problems[arm.name]]
    gains = dict(zip((arm.name for arm in sound), gains_of(base, sound, axes.gain, "select", judge), strict=True))
    reported = dict(zip((arm.name for arm in sound), gains_of(base, sound, axes.gain, "report", judge), strict=True))
    court = _Court(stance, axes, base, computed, recital, judge)
    candidates = []
    for arm in arms:
        printer.note(f"  judging {arm.name}")
        found = gains.get(arm.name), reported.get(arm.name)
        candidates.append(_candidate(court, arm, problems[arm.name], *found))
    choice = choose(candidates)
    rule = rule_of(stance)
    corpus = corpus_digest(judge.scorer.pairs)
    return SelectionRecord(
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        run=str(run),
        stance=stance.name,
        corpus_digest=corpus,
        rule=rule,
        frozen=state_of_rule(run, rule),
        seed=seed,
        base_answers=_answers(base),
        base_sha256=_digests(base),
        notices=[
            *([DEMO_NOTICE] if is_demo([base, *arms]) else []),
            *_absent(stance, base),
            *_not_validated(run, arms),
            *notices_of([base, *arms], corpus),
        ],
        candidates=choice.candidates,
        chosen=choice.chosen,
        reason=choice.reason,
        shown=choice.chosen or _highest(choice.candidates),
        best_by_loss=_best_by_loss(run),
        versions=versions(),
    )


# --- reading -----------------------------------------------------------------------------------------------


def _judge(settings: SelectSettings) -> tuple[Stance, Judge]:
    """With the stance and corpus of the run, unless the settings name others."""
    trained = _trained_with(settings.run)
    of_run = trained.get("corpus")
    corpus = settings.corpus or (Path(of_run) if of_run else None)
    stance, pairs = load_stance_and_pairs(settings.stance or trained.get("stance") or DEFAULT_STANCE, corpus)
    return stance, Judge(Scorer(stance, pairs), settings.seed)


def _trained_with(run: Path) -> dict[str, str | None]:
    """Stance and corpus in run.json; nothing without one that can be read."""
    record = RunFolder(run).record()
    return {name: record.settings.get(name) for name in ("stance", "corpus")} if record else {}


def sets_judged(stance: Stance) -> list[str]:
    """Question sets that criteria, red flags or the choice look at, in the order of the stance: what is to be asked."""
    scopes = [*stance.criteria, *(flag.answers for flag in stance.red_flags if flag.answers)]
    scopes += [one.literal for one in stance.criteria if one.literal]
    if stance.selection:
        scopes += [stance.selection.gain, stance.selection.capability]
    named = {name for scope in scopes for name in scope.sets}
    return [name for name in stance.question_sets if name in named]


def _read(run: Path, stance: Stance, judge: Judge, printer: Printer) -> tuple[Arm, list[Arm]]:
    arms = []
    wanted = dict.fromkeys([*sets_judged(stance), *sets_looked_at(stance)])
    for name in answered_arms(run):
        printer.note(f"  scoring {name}")
        arms.append(read_arm(run, name, wanted, judge))
    base, *others = arms
    assert stance.selection
    if lacking := base.missing(stance.selection.gain):
        hint = f"stance collect --questions {lacking[0]} asks it; every checkpoint needs it, too"
        what = f"no answers of the base model to {', '.join(lacking)}, by which a checkpoint is chosen"
        raise InputError([Problem(str(run), what, hint=hint)])
    if len(base.weights) > 1:
        what = f"the answers and probes in {base.sets[stance.selection.gain.sets[0]].file.path.parents[1]} are of "
        raise RefusedError(f"{what}{len(base.weights)} models", "collect and probe one base model")
    return base, others


def _absent(stance: Stance, base: Arm) -> list[str]:
    absent = [name for name in sets_judged(stance) if name not in base.sets]
    return [f"not asked, so what needs them is unknown: {', '.join(absent)}"] if absent else []


def _not_validated(run: Path, arms: Sequence[Arm]) -> list[str]:
    saved = {folder.name for folder in RunFolder(run).checkpoint_folders() if (folder / METADATA_FILE).is_file()}
    left = sorted(saved - {arm.name for arm in arms})
    names = f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
    return [f"{len(left)} of {len(saved)} checkpoints answered nothing and were not judged: {names}"] if left else []


def _best_by_loss(run: Path) -> str | None:
    """The saved checkpoint with the lowest training loss, the earliest of equals, whether it was validated or not."""
    folder = RunFolder(run)
    saved = ((path.name, folder.metadata(path.name)) for path in folder.checkpoint_folders())
    losses = [(metadata.loss, metadata.epoch, name) for name, metadata in saved if metadata]
    return min(losses)[2] if losses else None


# --- one checkpoint ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Court:
    """What every checkpoint is judged by."""

    stance: Stance
    axes: SelectionAxes
    base: Arm
    computed: Sequence[ComputedFlag]
    recital: Recital
    judge: Judge


def _candidate(
    court: _Court, arm: Arm, problems: list[str], gain: GainRecord | None, report_gain: GainRecord | None
) -> CandidateRecord:
    """Of one that was asked otherwise than the base model no figure is given: none would mean anything."""
    assert arm.epoch is not None
    stance, base, judge = court.stance, court.base, court.judge
    neutral = arm.probes.neutral if arm.probes else None
    return CandidateRecord(
        name=arm.name,
        epoch=arm.epoch,
        band=guide_band(arm.epoch),
        loss=arm.loss,
        answers=_answers(arm),
        sha256=_digests(arm),
        problems=problems,
        gain=gain,
        report_gain=report_gain,
        capability=None if problems else capability_of(base, arm, court.axes, judge),
        kl=neutral.kl if neutral else None,
        criteria=[] if problems else judge_criteria(stance.criteria, base, arm, judge),
        flags=[] if problems else judge_flags(stance.red_flags, court.computed, base, arm, judge),
        parroting=None if problems else court.recital.record(arm),
        on_front=False,
        near_best=False,
        note="",
    )


def _answers(arm: Arm) -> dict[str, int]:
    return {name: len(answered.file.responses) for name, answered in arm.sets.items()}


def _digests(arm: Arm) -> dict[str, str]:
    return {name: answered.file.sha256 for name, answered in arm.sets.items()}


def _highest(candidates: Sequence[CandidateRecord]) -> str | None:
    known = [one for one in candidates if one.gain]
    return max(known, key=lambda one: one.gain.change if one.gain else 0.0).name if known else None
