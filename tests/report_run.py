"""A small run with all that a report shows, from log to choice, and with hostile text in its answers."""

from __future__ import annotations

import json
from pathlib import Path

from select_run import PRAGMATIC, RIGHT, WRONG, model, share, write_arm, write_stance

from epistemic_stance.cli.evaluate import write_analysis, write_comparison
from epistemic_stance.evaluation import select
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import AnalyzeSettings, CompareSettings, SelectSettings
from epistemic_stance.records.training import EpochRecord, RunRecord
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.stance.pairs import corpus_digest

OWNED = "document.title='owned'"
HOSTILE = (
    f'Nobody can verify it. <script>{OWNED}</script></script><img src=x onerror="{OWNED}"><!--<script>'
    "\u2028{{ 7 * 7 }} \x1b[31mred\x1b[0m \u202egnp.exe ${1} \U0001f600 nobody can verify it"
)
"""Shows a pattern before and after what must not be obeyed."""
CHOSEN, RAISED = "checkpoint-030", "checkpoint-020"


def write_run(folder: Path) -> Path:
    """checkpoint-030 is chosen, checkpoint-020 has forgotten facts. Some answers of both are hostile."""
    stance = write_stance(folder / "stance")
    run = folder / "run"
    write_arm(run, "base", model(0.05, 1.0))
    forgetful = {"self": share(0.9, PRAGMATIC, HOSTILE), "facts": share(0.6, RIGHT, f"{WRONG} {HOSTILE}")}
    write_arm(run, RAISED, forgetful, kl=0.1)
    write_arm(run, CHOSEN, {"self": mostly_hostile, "facts": share(1.0, RIGHT, WRONG)}, kl=0.2)
    _train(run, stance)
    for name in ("base", RAISED, CHOSEN):
        for question_set in ("self", "facts"):
            place = run / "validation" / name / question_set
            write_analysis(AnalyzeSettings(place, stance=str(stance)), silent)
            if name != "base":
                before = run / "validation" / "base" / question_set
                write_comparison(CompareSettings(before, place, stance=str(stance)), silent)
    choose(run)
    _call_seen(run / "validation" / CHOSEN / "self" / "scores.jsonl")
    return run


def _call_seen(scores: Path) -> None:
    """Eight answers, so that there is more than one exposure to tell apart."""
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    changed = [{**row, "exposure": "seen" if row["line"] <= 8 else row["exposure"]} for row in rows]
    scores.write_text("".join(json.dumps(row) + "\n" for row in changed))


def mostly_hostile(number: int, iteration: int) -> str:
    """Each opens in its own way, as answers that open alike raise a flag."""
    return f"In case {number}: {share(0.8, HOSTILE, PRAGMATIC)(number, iteration)}"


def choose(run: Path) -> None:
    select.run(SelectSettings(run), silent)


def _train(run: Path, stance: Path) -> None:
    """run.json and a log of three epochs."""
    _, pairs = load_stance_and_pairs(str(stance))
    record = RunRecord(
        status="finished",
        started="2026-01-01T00:00:00+00:00",
        settings={"stance": str(stance), "epochs": 3, "corpus": None},
        base_model="some/model",
        base_weights_digest="b" * 64,
        corpus_digest=corpus_digest(pairs),
        template_digest="t" * 64,
        template_arguments={"enable_thinking": False},
        system_prompt=None,
        pairs=1,
        parameters=10,
        trainable_parameters=10,
        device="cpu",
        compute_dtype="float32",
        save_dtype="float32",
        packed=True,
        packing="packed",
        threads=1,
        seed=42,
        total_steps=3,
        log_file="training_log_20260101_000000.jsonl",
        revision=None,
        versions={"torch": "2"},
    )
    (run / "run.json").write_text(record.model_dump_json())
    logs = run / "logs"
    logs.mkdir()
    lines = [json.dumps(epoch_record(number).model_dump(mode="json")) + "\n" for number in (1, 2, 3)]
    (logs / record.log_file).write_text("".join(lines))


def epoch_record(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        step=number,
        avg_loss=0.7 / number,
        avg_accuracy=0.9,
        absolute_preference=0.6,
        absolute_preference_per_token=0.5,
        avg_margin=float(number),
        chosen_reward=1.0,
        rejected_reward=-1.0,
        chosen_logps=-10.0,
        rejected_logps=-20.0,
        chosen_nll=1.0,
        preference_loss=0.7 / number,
        grad_norm=1.0,
        max_grad_norm=1.0,
        learning_rate=1e-5,
        seconds=1.0,
        tokens_per_second=1.0,
    )
