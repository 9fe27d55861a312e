"""`stance status`: what of a run is done, missing, damaged or unfinished, and the command that comes next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from rich.console import Console

from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError, StanceError
from epistemic_stance.foundation.files import storage_errors, verify_manifest, write_atomic
from epistemic_stance.foundation.recipes import RECIPES
from epistemic_stance.foundation.settings import (
    DEFAULT_MODEL,
    DEFAULT_STANCE,
    DEMO_MODEL,
    NOT_PART_OF_A_RUN,
    StatusSettings,
    TrainSettings,
)
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.labelling.folder import labels_in
from epistemic_stance.labelling.sample import read_sample
from epistemic_stance.models.find import is_on_this_machine
from epistemic_stance.records.checkpoint_name import checkpoint_of
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.run_folder import (
    BASE,
    PLAN_SUFFIX,
    RunFolder,
    read_if_sound,
    read_record,
)
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.training import RunRecord
from epistemic_stance.records.validation import SelectionRecord
from epistemic_stance.report.markdown import escaped
from epistemic_stance.report.status_page import MARKER, Row, page, print_status
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.check_pairs import check_pairs
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.stance.pairs import corpus_digest
from epistemic_stance.training.occupancy import holds_a_run, is_being_trained

BASELINE_FOLDER, FINDINGS_PAGE = Path("baseline_data"), Path("BASELINE_FINDINGS.md")
MOST_SHOWN = 3


@dataclass(frozen=True)
class Subject:
    """What the table is about."""

    run: RunFolder
    record: RunRecord | None
    """None: nothing was trained, or run.json cannot be read."""
    model: str
    stance: str
    corpus: Path | None
    """None: the stance's own."""

    def begun(self) -> list[str]:
        """Checkpoints with answers."""
        return [folder.name for folder in self.run.checkpoint_folders() if self.run.answered(folder.name)]

    def models(self) -> list[str]:
        """The base model and the checkpoints to validate: those with answers, else the promising, else the last."""
        present = [folder.name for folder in self.run.checkpoint_folders()]
        screening = read_if_sound(self.run.screening, ScreeningRecord)
        promising = [name for name in screening.promising if name in present] if screening else []
        return [BASE, *(self.begun() or promising or present[-1:])]

    def run_command(self) -> str:
        """From the checkpoints to the report; those that have answers are named, so that no screening is made."""
        begun = self.begun()
        return command("run", self.run.root, *(["--checkpoints", _listed(begun)] if begun else []))

    def train_command(self, suffix: str = "") -> str:
        """With a suffix into another folder than that of the run."""
        folder = f"{self.run.root}{suffix}"
        return command("train", *_flags({"model": self.model, "stance": self.stance, "output_dir": folder}))


def run_status(settings: StatusSettings, console: Console) -> None:
    """Write the page and print the table. A damaged file is a row of it and no error.

    Raises InputError or RefusedError if the page cannot stand where it should, StorageError if it cannot be written.
    """
    _require_ours(settings.output)
    rows = status_rows(settings)
    write_atomic(settings.output, page(rows, settings.run))
    print_status(rows, settings.run, console)
    console.print(plain(f"Written: {settings.output}"), soft_wrap=True)


def _require_ours(path: Path) -> None:
    """A page that a person wrote under this name is not replaced."""
    with storage_errors(str(path)):
        if path.is_dir():
            raise InputError([Problem("--output", f"{path} is a folder, expected a file")])
        if path.exists() and MARKER not in path.read_text(encoding="utf-8", errors="replace"):
            hint = f"name another file: {program()} status --output FILE"
            raise RefusedError(f"{path} was not written by this command, and is not replaced", hint)


def status_rows(settings: StatusSettings) -> list[Row]:
    """In the order in which things are done; what follows the training is listed once there are checkpoints."""
    run = RunFolder(settings.run)
    record = run.record()
    written = record.settings if record else {}
    corpus = written.get("corpus") if settings.stance is None else None
    subject = Subject(
        run=run,
        record=record,
        model=settings.model or (record.base_model if record else DEFAULT_MODEL),
        stance=settings.stance or str(written.get("stance") or DEFAULT_STANCE),
        corpus=Path(str(corpus)) if corpus else None,
    )
    parts: dict[str, Callable[[Subject, str], Row]] = {
        "model": _model,
        "stance": _stance,
        "baseline": _baseline,
        "training": _training,
        "checkpoints": _checkpoints,
    }
    if run.checkpoint_folders():
        parts["screening"] = _screening
        parts |= {f"answers of {model}": partial(_answers, model=model) for model in subject.models()}
        parts |= {"probes": _probes, "labels": _labels, "selection": _selection, "report": _report}
    return [_guarded(part, subject, name) for name, part in parts.items()]


def _guarded(part: Callable[[Subject, str], Row], subject: Subject, name: str) -> Row:
    try:
        return part(subject, name)
    except StanceError as error:
        return Row(name, "damaged", str(error.args[0]).partition("\n")[0])
    except (OSError, ValueError) as error:
        return Row(name, "damaged", f"cannot be read: {getattr(error, 'strerror', None) or error}")


def command(*words: str | Path) -> str:
    return shlex.join([program(), *map(str, words)])


def _flags(settings: dict[str, object]) -> list[str]:
    """Those of a training that are not the default, or not what its recipe says."""
    words = []
    recipe = RECIPES.get(str(settings.get("recipe")), {})
    for setting in fields(TrainSettings):
        default = recipe.get(setting.name, setting.default)
        value = settings.get(setting.name, default)
        if value is not None and str(value) != str(default):
            flag = "--" + setting.name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
    return words


def _listed(checkpoints: Iterable[str]) -> str:
    return ",".join(name.short for folder in checkpoints if (name := checkpoint_of(folder)))


def _some(items: list[str]) -> str:
    more = [f"{len(items) - MOST_SHOWN} more"] if len(items) > MOST_SHOWN else []
    return "; ".join([*items[:MOST_SHOWN], *more])


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


# --- before and in training --------------------------------------------------------------------------------


def _model(subject: Subject, name: str) -> Row:
    model = subject.model
    if model == DEMO_MODEL:
        return Row(name, "done", f"{model}, the embedded stand-in, no evidence about Qwen")
    if is_on_this_machine(model):
        return Row(name, "done", model)
    fetch = command("train", *_flags({"model": model}), "--dry-run")
    return Row(name, "missing", f"{model} is not on this machine", fetch)


def _stance(subject: Subject, name: str) -> Row:
    """With the corpus of the run."""
    stance = load_stance(subject.stance)
    pairs = load_pairs(subject.corpus or stance.corpus)
    own = None if subject.corpus else [pair.id for pair in pairs]
    problems = check_pairs(pairs, stance.question_sets, stance.question_places)
    problems += check_question_sets(stance.question_sets, stance.question_places, own)
    errors = sum(problem.severity == "error" for problem in problems)
    questions = sum(len(questions.questions) for questions in stance.question_sets.values())
    detail = f"{stance.name}: {len(pairs)} pairs, {questions} questions in {len(stance.question_sets)} sets"
    if errors:
        return Row(name, "damaged", f"{detail}, {errors} errors", command("check", "--stance", subject.stance))
    if subject.record and subject.record.corpus_digest != corpus_digest(pairs):
        return Row(name, "damaged", f"{detail}; the run was trained on other pairs", subject.train_command("_new"))
    return Row(name, "done", detail)


def _baseline(subject: Subject, name: str) -> Row:
    """Answers of the model to be trained, and the page about them; those of another model do not count."""
    ask = command("collect", *_flags({"model": subject.model}), "--questions", "baseline")
    files = [*BASELINE_FOLDER.glob(f"*{PLAN_SUFFIX}"), subject.run.answers(BASE, "baseline").plan]
    plans = {path: plan for path in files if (plan := read_record(path, CollectionRecord))}
    own = [path for path, plan in plans.items() if plan.model == subject.model]
    if not own:
        return Row(name, "missing", f"no answers of {subject.model} to the baseline questions", ask)
    newest = max(own, key=lambda path: path.stat().st_mtime)
    answers = newest.with_name(newest.name.removesuffix(PLAN_SUFFIX) + ".jsonl")
    number, planned = _lines(answers), plans[newest].responses
    detail = f"{number:,} of {planned:,} answers in {answers}"
    if number != planned:
        return Row(name, "unfinished", detail, ask)
    title = FINDINGS_PAGE.read_text(encoding="utf-8").partition("\n")[0] if FINDINGS_PAGE.exists() else ""
    if escaped(subject.model) not in title:
        write = command("findings", answers)
        return Row(name, "unfinished", f"{detail}; no {FINDINGS_PAGE} about them", write)
    return Row(name, "done", f"{detail}; {FINDINGS_PAGE}")


def _training(subject: Subject, name: str) -> Row:
    run, record = subject.run, read_record(subject.run.record_path, RunRecord)
    if record is None:
        return Row(name, "missing", f"none in {run.root}", subject.train_command("_new" if holds_a_run(run) else ""))
    epochs = run.epochs()
    last = epochs[-1] if epochs else None
    figures = f", loss {last.avg_loss:.4f}, accuracy {last.avg_accuracy:.0%}" if last else ""
    reason = f" ({record.reason})" if record.reason else ""
    number = f"{last.epoch if last else 0} of {record.settings.get('epochs')} epochs{figures}"
    detail = f"{record.status}{reason}: {record.base_model}, {number}"
    if record.base_model != subject.model:
        return Row(name, "missing", f"{detail}; not of {subject.model}", subject.train_command("_new"))
    if record.status == "finished":
        return Row(name, "done", detail)
    if record.status == "running" and is_being_trained(run):
        return Row(name, "unfinished", detail, f"tail -f {shlex.quote(str(run.logs / record.log_file))}")
    if record.status == "running":
        detail = f"ended without a record of why (power cut, kill -9): {number}"
    given = {key: value for key, value in record.settings.items() if key not in NOT_PART_OF_A_RUN}
    resume = command("train", *_flags({**given, "output_dir": run.root}), "--resume")
    return Row(name, "unfinished", detail, resume)


def _checkpoints(subject: Subject, name: str) -> Row:
    """By the sizes in their manifests; loading a model checks the content, too."""
    run, folders = subject.run, subject.run.checkpoint_folders()
    final = [run.best, run.final] if subject.record and subject.record.status == "finished" else []
    damaged = [
        f"{folder.name}: {damage}"
        for folder in (*folders, *final)
        if (damage := verify_manifest(folder, contents=False))
    ]
    if damaged:
        return Row(name, "damaged", _some(damaged))
    if not folders:
        return Row(name, "missing", "none yet")
    return Row(name, "done", f"{len(folders)}: {folders[0].name} to {folders[-1].name}")


# --- after training ----------------------------------------------------------------------------------------


def _screening(subject: Subject, name: str) -> Row:
    again = command("validate", subject.run.root, "--screen")
    screening = read_record(subject.run.screening, ScreeningRecord)
    if screening is None:
        return Row(name, "missing", "no first look at all checkpoints", again)
    return Row(name, "done", f"promising: {', '.join(screening.promising) or 'no checkpoint'}")


def _answers(subject: Subject, name: str, model: str) -> Row:
    """To every sampled set of the stance; once a checkpoint is chosen, only to those that some model was asked."""
    run = subject.run
    asked = sorted({question_set for each in subject.models() for question_set in run.answered(each)})
    sampled = [key for key, design in load_stance(subject.stance).designs.items() if design.sampled]
    number, left = 0, list[str]()
    for question_set in dict.fromkeys(asked if run.selection.exists() else [*asked, *sampled]):
        files = run.answers(model, question_set)
        plan, present = read_record(files.plan, CollectionRecord), _lines(files.responses)
        number += present
        if plan is None and present:
            return Row(name, "damaged", f"{files.responses} has no {files.plan.name} beside it")
        if plan is None:
            left.append(f"{question_set}: none")
        elif present != plan.responses:
            left.append(f"{question_set}: {present:,} of {plan.responses:,}, {plan.status}")
        elif not _is_newer(files.analysis, files.responses):
            left.append(f"{question_set}: not analysed")
        elif model != BASE and not files.comparison.exists():
            left.append(f"{question_set}: not compared")
    detail = f"{number:,} answers to {len(asked)} sets"
    if left:
        return Row(name, "unfinished" if number else "missing", f"{detail}; {_some(left)}", subject.run_command())
    return Row(name, "done", detail)


def _is_newer(path: Path, than: Path) -> bool:
    return path.exists() and (not than.exists() or path.stat().st_mtime >= than.stat().st_mtime)


def _probes(subject: Subject, name: str) -> Row:
    models = subject.models()
    missing = [model for model in models if not read_record(subject.run.probes(model), ProbesRecord)]
    again = command("probe", subject.run.root, "--checkpoints", _listed(models[1:]))
    if missing:
        return Row(name, "missing", f"of {len(missing)} of {len(models)} models: {_some(missing)}", again)
    return Row(name, "done", f"of {len(models)} models")


def _labels(subject: Subject, name: str) -> Row:
    again = command("label", subject.run.root)
    if labels_in(subject.run.labels) is None:
        return Row(name, "missing", "none: how often the patterns are wrong is not known", again)
    sample = read_sample(subject.run.labels, load_patterns(load_stance(subject.stance)))
    labelled = Counter(annotator for answer in sample.answers for annotator in answer.marks)
    given = ", ".join(f"{key} {count}" for key, count in labelled.items()) or "none yet"
    detail = f"of {len(sample.answers)} answers: {given}"
    whole = any(labelled[annotator] == len(sample.answers) for annotator in sample.annotators)
    return Row(name, "done", detail) if whole else Row(name, "unfinished", detail, again)


def _selection(subject: Subject, name: str) -> Row:
    run, again = subject.run, command("select", subject.run.root)
    selection = read_record(run.selection, SelectionRecord)
    if selection is None:
        return Row(name, "missing", "no checkpoint is chosen yet", again)
    detail = selection.chosen or "no checkpoint qualifies"
    files = [run.answers(model, name).responses for model in run.models_validated() for name in run.answered(model)]
    if not all(_is_newer(run.selection, file) for file in files):
        return Row(name, "unfinished", f"{detail}, but there are newer answers", again)
    return Row(name, "done", detail)


def _report(subject: Subject, name: str) -> Row:
    path, again = subject.run.report_html, command("report", subject.run.root)
    if not path.exists():
        return Row(name, "missing", "none yet", again)
    if not path.stat().st_size:
        return Row(name, "damaged", f"{path} is empty", again)
    if not _is_newer(path, subject.run.selection):
        return Row(name, "unfinished", f"{path} is older than the choice", again)
    return Row(name, "done", str(path))
