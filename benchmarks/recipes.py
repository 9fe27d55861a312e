"""Train one recipe on a real model, ask its checkpoints unseen questions, and draw the table of all recipes tried.

    python benchmarks/recipes.py run NAME --model MODEL [--corpus FILE] [--set learning_rate=1e-5 ...]
    python benchmarks/recipes.py base NAME --model MODEL
    python benchmarks/recipes.py table

A run writes `benchmarks/recipes/NAME.json`: settings, date, and of every checkpoint its evaluation during training and
its greedy answers to select questions: 40 about the model itself (phase1, self_unseen), 20 syllogisms, 20 facts, 12
sums, 9 requests of the safety set. `table` writes docs/recipes.md out of all of them, with the rates by the rules of
today and, where two readers labelled the answers of a checkpoint (tests/data/coherence_labels.jsonl), with theirs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import DEFAULT_STANCE, TrainSettings
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import generate_in_memory
from epistemic_stance.models.find import find_model
from epistemic_stance.models.open import open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.records.written import Question
from epistemic_stance.scoring.grade import grade
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import Stance, load_pairs, load_stance
from epistemic_stance.stance.splits import splits_of
from epistemic_stance.training.run import run as train
from epistemic_stance.training.verdict import AnswerComparer, judge
from epistemic_stance.training.wording import WordingScale

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "recipes", ROOT / "docs" / "recipes.md"
LABELS = ROOT / "tests" / "data" / "coherence_labels.jsonl"
SELF = ("phase1", "self_unseen")
TAKEN = (
    ("phase1", None, 2),
    ("self_unseen", None, 2),
    ("capability", ("syllogisms", "facts"), 20),
    ("capability", ("arithmetic", "word_problems"), 6),
    ("safety", None, 1),
)
"""Question set, its categories (None = all), and select questions of each category."""
LONG, SHORT, SLOTS = 96, 32, 64


def questions(stance: Stance) -> Iterator[tuple[str, Question, str]]:
    """Set, question and prompt of everything that is asked."""
    for name, categories, number in TAKEN:
        question_set = stance.question_sets[name]
        splits = splits_of(question_set.questions)
        for category in categories or question_set.categories:
            chosen = [
                question
                for question in question_set.questions
                if question.category == category and splits[question_key(question.text)] == "select"
            ]
            yield from ((name, question, question_set.prompt(question)) for question in chosen[:number])


def answers_of(model: str) -> list[dict[str, Any]]:
    opened = open_model(find_model(model))
    asked = list(questions(load_stance(DEFAULT_STANCE)))
    requests = [
        Request(tuple(encode_question(opened.tokenizer, prompt)), 0.0, 0, SHORT if name == "capability" else LONG)
        for name, _, prompt in asked
    ]
    finished, _ = generate_in_memory(opened.decoder, requests, SamplingConfig(LONG), slots=SLOTS)
    return [
        {
            "set": name,
            "id": question.id,
            "category": question.category,
            "question": question.text,
            "response": opened.decoder.text(answer),
            "ended": answer.end_id is not None,
        }
        for (name, question, _), answer in zip(asked, finished, strict=True)
    ]


def settings_of(written: Sequence[str]) -> dict[str, Any]:
    kinds = {field.name: field.type for field in fields(TrainSettings)}
    readers: dict[Any, Any] = {"int": int, "float": float, "bool": lambda text: text == "True"}
    pairs = (text.split("=", 1) for text in written)
    return {name: readers.get(kinds[name], str)(value) for name, value in pairs}


def run_recipe(model: str, corpus: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    checkpoints = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        train(TrainSettings(model=model, corpus=corpus, output_dir=folder, lr_schedule="constant", **given), silent)
        seconds = time.monotonic() - started
        for path in (folder / "checkpoints").iterdir():
            metadata = json.loads((path / "metadata.json").read_text(encoding="utf-8"))
            evaluation = metadata["evaluation"] or {}
            kept = {key: evaluation.get(key) for key in ("verdict", "reason", "kl_neutral", "copied")}
            checkpoints.append(
                {"name": path.name, "step": metadata["step"], "loss": metadata["loss"], **kept}
                | {"answers": answers_of(str(path))}
            )
    checkpoints.sort(key=lambda checkpoint: checkpoint["step"])
    settings = {key: str(value) for key, value in given.items()}
    return {"settings": settings, "train_seconds": round(seconds), "checkpoints": checkpoints}


def figures(checkpoint: dict[str, Any]) -> list[str]:
    """Rates by the rules: pragmatic, phrases, performative, incoherent; copied; syllogisms, facts, sums right."""
    stance = load_stance(DEFAULT_STANCE)
    patterns = load_patterns(stance)
    groups = {name: pattern.group for name, pattern in patterns.patterns.items()}
    keys = {question.id: question for each in stance.question_sets.values() for question in each.questions}
    own = [answer for answer in checkpoint["answers"] if answer["set"] in SELF]
    found = [patterns.search(each["response"], each["question"], each["category"]) for each in own]
    shown = [{groups[hit.pattern] for hit in each.hits} for each in found]
    phrases = [
        groups_of | {groups[name] for name in each.excluded} for groups_of, each in zip(shown, found, strict=True)
    ]
    broken = ["incoherent" in {hit.pattern for hit in each.hits} for each in found]
    rates = [
        fmean("pragmatic" in each for each in shown),
        fmean("pragmatic" in each for each in phrases),
        fmean("performative" in each for each in shown),
        fmean(broken),
        checkpoint.get("copied") or 0,
    ]
    right = []
    for categories in (("syllogisms",), ("facts",), ("arithmetic", "word_problems")):
        graded = [
            grade(keys[each["id"]], each["response"])
            for each in checkpoint["answers"]
            if each["set"] == "capability" and each["category"] in categories
        ]
        right.append(f"{graded.count('right')}/{len(graded)}")
    return [*(f"{100 * rate:.0f}" for rate in rates), *right]


def readers() -> dict[str, str]:
    """Arm -> what two readers saw: incoherent, pragmatic, performative in percent, where both agree."""
    rows = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    of_arm: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_arm[row["arm"]].append(row)
    shares = {}
    for arm, each in of_arm.items():
        rates = []
        for label in ("incoherent", "pragmatic", "performative"):
            known = [label in row["labels"] for row in each if label not in row["ignore"]]
            rates.append(f"{100 * fmean(known):.0f}")
        shares[arm] = f"{' / '.join(rates)} of {len(each)}"
    return shares


COLUMNS = (
    *("model", "recipe", "steps", "verdict", "pragmatic", "phrases", "performative", "incoherent", "copied"),
    *("syllogisms", "facts", "sums", "KL", "readers"),
)
HEAD = f"""# Recipes tried on real models

Drawn by `python benchmarks/recipes.py table` out of `benchmarks/recipes/*.json`; each run was made by the command in
the head of that script. Greedy answers to 40 select questions about the model itself. By the rules, in percent:
pragmatic answers that hold together, pragmatic phrases whether or not they do, performative, incoherent. Copied: words
in runs of the corpus' own chosen answers, in percent of sixteen other answers. Right of 20 syllogisms, 20 facts, 12
sums. KL: nats a token on neutral answers. Readers: incoherent / pragmatic / performative of so many answers, as two
language models reading blind both say. Unless named, settings are the guide's, at a constant learning rate.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
"""


def verdict(checkpoint: dict[str, Any], base: dict[str, Any], comparer: AnswerComparer) -> str:
    """That of today's code on all answers about the model itself; the run gave its own on sixteen."""
    before = {answer["id"]: answer["response"] for answer in base["answers"]}
    own = [answer for answer in checkpoint["answers"] if answer["set"] in SELF]
    records = [comparer.record(each["id"], each["question"], each["response"], before[each["id"]]) for each in own]
    return judge(records, None).verdict


def table() -> str:
    seen = readers()
    pairs = load_pairs(load_stance(DEFAULT_STANCE).corpus)
    comparer = AnswerComparer(pairs, WordingScale(pairs))
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    bases = {run["model"]: run["checkpoints"][0] for run in runs if not run["settings"]}
    lines = []
    for run in sorted(runs, key=lambda run: (run["model"], bool(run["settings"]), run["name"])):
        settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run["settings"].items())
        for checkpoint in run["checkpoints"]:
            kl = checkpoint.get("kl_neutral")
            cells = [
                run["model"],
                f"{run['name']}: {settings}" if settings else "before training",
                checkpoint["step"],
                verdict(checkpoint, bases[run["model"]], comparer) if settings else "",
                *figures(checkpoint),
                "" if kl is None else f"{kl:.2f}",
                seen.get(checkpoint.get("arm", ""), ""),
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |\n")
    return HEAD + "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "base", "table"))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    if options.action == "table":
        PAGE.write_text(table(), encoding="utf-8")
        return
    about = {"name": options.name, "model": Path(options.model).name, "date": datetime.now(UTC).date().isoformat()}
    if options.action == "base":
        result: dict[str, Any] = {"settings": {}, "checkpoints": [{"step": 0, "answers": answers_of(options.model)}]}
    else:
        result = run_recipe(options.model, options.corpus, settings_of(options.set))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(about | result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
