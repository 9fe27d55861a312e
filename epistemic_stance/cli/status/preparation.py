"""Before training: the model on this machine, the stance, the baseline, room on the disk."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from epistemic_stance.cli.status.check import Check, Section, count_lines, guarded, plural, read_record, stance_command
from epistemic_stance.foundation.settings import DEFAULT_MODEL, DEFAULT_STANCE, DEMO_MODEL, StatusSettings
from epistemic_stance.models.load import DEMO_FOLDER, ModelFiles
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import RunRecord
from epistemic_stance.report.markdown import escaped
from epistemic_stance.stance.check_pairs import check_pairs
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.load import Stance, corpus_digest, load_pairs, load_stance

FINDINGS_PAGE = Path("BASELINE_FINDINGS.md")
BASELINE_FOLDER = Path("baseline_data")
LITTLE_SPACE = 2 * 2**30
"""Less than one checkpoint and one state of the default model."""


@dataclass(frozen=True)
class Place:
    """What the page is about."""

    run: RunFolder
    record: RunRecord | str | None
    """run.json; or why it cannot be read; None = nothing was trained."""
    model: str
    stance_name: str
    corpus: Path | None
    """None: the stance's own."""

    @property
    def trained(self) -> RunRecord | None:
        return self.record if isinstance(self.record, RunRecord) else None


def find_place(settings: StatusSettings) -> Place:
    """A run says what it trains; without one, the defaults."""
    run = RunFolder(settings.run)
    record = read_record(RunRecord, run.record_path)
    trained = record if isinstance(record, RunRecord) else None
    written = trained.settings if trained else {}
    corpus = written.get("corpus")
    return Place(
        run=run,
        record=record,
        model=settings.model or (trained.base_model if trained else DEFAULT_MODEL),
        stance_name=settings.stance or str(written.get("stance") or DEFAULT_STANCE),
        corpus=Path(str(corpus)) if corpus and settings.stance is None else None,
    )


def preparation(place: Place) -> tuple[Stance | None, list[Section]]:
    """The stance if it can be read, and what there is before training."""
    stance: Stance | None = None

    def read_stance() -> list[Check]:
        nonlocal stance
        stance = load_stance(place.stance_name)
        return [*_corpus_checks(place, stance), *_question_checks(stance)]

    name = f"stance {place.stance_name}"
    written = guarded(name, read_stance)
    baseline = guarded("baseline", lambda: _baseline_checks(place))
    return stance, [
        Section("Machine", guarded("machine", lambda: _machine(place))),
        Section("Model", guarded("model", lambda: [_model_check(place)]), before_training=True),
        Section("Stance", written, before_training=True),
        Section("Baseline", baseline, before_training=True),
    ]


# --- machine and model -------------------------------------------------------------------------------------


def _machine(place: Place) -> list[Check]:
    folder = next(path for path in (place.run.root, *place.run.root.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    memory = psutil.virtual_memory()
    device = f"{place.trained.device} in the run" if place.trained else "unknown until training starts"
    low = free < LITTLE_SPACE
    space = Check("disk", f"{gigabytes(free)} free{', too little for training' if low else ''}", False if low else None)
    return [
        space,
        Check("memory", f"{gigabytes(memory.available)} of {gigabytes(memory.total)} available", None),
        Check("device", device, None),
    ]


def gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _model_check(place: Place) -> Check:
    """Whether the model is here; a dry run fetches it, and says what training will take."""
    name = place.model
    fetch = stance_command("train", *(() if name == DEFAULT_MODEL else ("--model", name)), "--dry-run")
    if name == DEMO_MODEL:
        here = (DEMO_FOLDER / "config.json").is_file()
        return Check("model", f"{name}, the embedded stand-in, no evidence about Qwen", here, fetch)
    folder = Path(name)
    if folder.is_dir():
        whole = (folder / "config.json").is_file() and bool(ModelFiles(name, folder).weights)
        return Check("model", f"{name}, {'a' if whole else 'no model in the'} folder on this machine", whole, fetch)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return Check("model", f"{name}, no such folder", False, fetch)
    cached = _is_cached(name)
    return Check(
        "model", f"{name}, {'in the Hugging Face cache' if cached else 'not on this machine yet'}", cached, fetch
    )


def _is_cached(name: str) -> bool:
    """Whether a Hub model is in the cache, weights and all; the network is not asked."""
    from huggingface_hub import try_to_load_from_cache

    def cached(file: str) -> Path | None:
        found = try_to_load_from_cache(name, file)
        return Path(found) if isinstance(found, str) else None

    if not cached("config.json") or not cached("tokenizer_config.json"):
        return False
    index = cached("model.safetensors.index.json")
    if index is None:
        return cached("model.safetensors") is not None
    parts = set(json.loads(index.read_bytes())["weight_map"].values())
    return all(cached(str(part)) for part in parts)


# --- corpus and questions ----------------------------------------------------------------------------------


def _corpus_checks(place: Place, stance: Stance) -> list[Check]:
    path = place.corpus or stance.corpus
    pairs = load_pairs(path)
    digest = corpus_digest(pairs)
    counts = ", ".join(f"{name} {count}" for name, count in Counter(pair.category for pair in pairs).items())
    checks = [Check("corpus", f"{plural(len(pairs), 'pair')} ({counts}), sha256 {digest[:12]}", bool(pairs))]
    if place.trained and place.trained.corpus_digest != digest:
        what = f"the run was trained on other pairs (sha256 {place.trained.corpus_digest[:12]})"
        again = stance_command("train", "--output-dir", f"{place.run.root}_new")
        checks.append(Check("corpus of the run", what, False, again))
    sets, places = stance.question_sets, stance.question_places
    found = check_pairs(pairs, sets, places)
    found += check_question_sets(sets, places, None if place.corpus else [pair.id for pair in pairs])
    errors = sum(finding.severity == "error" for finding in found)
    result = f"{plural(errors, 'error')}, {plural(len(found) - errors, 'warning')} in pairs and questions"
    lint = stance_command("check", "--stance", place.stance_name)
    return [*checks, Check("lint", result, errors == 0, lint if errors else "")]


def _question_checks(stance: Stance) -> list[Check]:
    sizes = ", ".join(f"{name} {len(one.questions)}" for name, one in stance.question_sets.items())
    total = sum(len(one.questions) for one in stance.question_sets.values())
    found = f"{plural(total, 'question')} in {plural(len(stance.question_sets), 'set')} ({sizes})"
    return [Check("questions", found if total else "the stance asks nothing", bool(total))]


# --- baseline ----------------------------------------------------------------------------------------------


def _baseline_checks(place: Place) -> Sequence[Check]:
    """Answers of the model that is to be trained, and the page about them; those of another model do not count."""
    begun = sorted(BASELINE_FOLDER.glob("*.plan.json"), key=lambda path: path.stat().st_mtime)
    begun.append(place.run.root / "validation" / "base" / "baseline" / "responses.plan.json")
    others, best = set[str](), Check("answers", "none yet", False, _ask_baseline(place))
    answers: Path | None = None
    for plan_path in begun:
        plan = read_record(CollectionRecord, plan_path)
        if isinstance(plan, str):
            best = Check("answers", plan, False, _ask_baseline(place))
        elif plan and plan.model != place.model:
            others.add(plan.model)
        elif plan:
            file = plan_path.with_name(plan_path.name.replace(".plan.json", ".jsonl"))
            number = count_lines(file)
            whole = number == plan.responses
            found = f"{number:,} of {plan.responses:,} answers in {file}"
            best = Check("answers", found, whole, "" if whole else _ask_baseline(place, file))
            answers = file if whole else answers
    if others and best.found == "none yet":
        best = Check("answers", f"only of {', '.join(sorted(others))}, not of {place.model}", False, best.command)
    return [best, _findings_check(place, answers)]


def _ask_baseline(place: Place, begun: Path | None = None) -> str:
    folder = ("--output-dir", str(begun.parent)) if begun and begun.name == "responses.jsonl" else ()
    return stance_command("collect", "--model", place.model, "--questions", "baseline", *folder)


def _findings_check(place: Place, answers: Path | None) -> Check:
    page = FINDINGS_PAGE
    command = stance_command("findings", answers) if answers else ""
    if not page.is_file():
        return Check("findings", f"no {page}", False, command)
    with page.open(encoding="utf-8") as stream:
        heading = stream.readline().strip()
    if heading.startswith("# Baseline findings: ") and not heading.endswith(f": {escaped(place.model)}"):
        about = heading.removeprefix("# Baseline findings: ").replace("\\", "")
        return Check("findings", f"{page} is about {about}, not about {place.model}", False, command)
    return Check("findings", str(page), True)
