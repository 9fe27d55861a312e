"""Seconds per optimizer step and peak memory on a CPU: this package against TRL's DPOTrainer.

    STANCE_REFERENCE_DATA=... python benchmarks/train_step.py [--steps 5] [--rounds 2] [--json out.json]

A model of the shape of Qwen2.5-0.5B-Instruct with random weights trains on the shipped corpus, one pair a step,
float32, AdamW, gradients clipped to norm 1. Every measurement is a child process of its own, so that peak memory
belongs to one side; rounds alternate the sides, so that a change in the machine's load meets all of them.

    ours          engine.optimizer_step with the allocator that `stance train` sets up
    ours, bf16    the same with bfloat16 autocast (--bf16)
    TRL default   DPOTrainer as it comes; only the precision and device are set (bf16=False, use_cpu)
    TRL tuned     precomputed reference, no gradient checkpointing, the same allocator
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_UP_STEPS = 2
DEFAULT_SIDES = ["ours", "TRL default", "TRL tuned"]
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def model_folder() -> Path:
    root = os.environ.get("STANCE_REFERENCE_DATA")
    if not root:
        sys.exit("set STANCE_REFERENCE_DATA to the folder that holds qwen2.5-0.5b-instruct (config and tokenizer)")
    return Path(root) / "qwen2.5-0.5b-instruct"


def load_tokenizer_and_pairs() -> tuple[Any, list[Any]]:
    """The tokenizer and the pairs of the shipped corpus in a fixed shuffled order."""
    from epistemic_stance.foundation.settings import DEFAULT_STANCE
    from epistemic_stance.models.load import load_tokenizer
    from epistemic_stance.stance.load import load_stance_and_pairs

    pairs = list(load_stance_and_pairs(DEFAULT_STANCE)[1])
    random.Random(1).shuffle(pairs)
    return load_tokenizer(model_folder()), pairs


def random_model() -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(model_folder())
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def measure_ours(steps: int, dtype_name: str) -> dict[str, Any]:
    from epistemic_stance.models.memory import tune_allocator

    tune_allocator()

    import torch

    from epistemic_stance.foundation.settings import TrainSettings
    from epistemic_stance.models.chat_template import encode_pair
    from epistemic_stance.training.dpo import Objective
    from epistemic_stance.training.engine import Engine, make_optimizer, optimizer_step
    from epistemic_stance.training.packing import choose_forward
    from epistemic_stance.training.reference import compute_reference

    tokenizer, pairs = load_tokenizer_and_pairs()
    encoded = [encode_pair(tokenizer, pair) for pair in pairs[:steps]]
    model, settings, dtype = random_model(), TrainSettings(), getattr(torch, dtype_name)
    forward = choose_forward(model, encoded)
    reference = compute_reference(model, forward, encoded, dtype)
    exact = compute_reference(model, forward, encoded[:4], torch.float32)
    error = max(abs(reference[id][side] - exact[id][side]) / abs(exact[id][side]) for id in exact for side in (0, 1))
    engine = Engine(
        model=model,
        forward=forward,
        objective=Objective.of(settings),
        reference=reference,
        optimizer=make_optimizer(model, settings),
        batch_size=settings.batch_size,
        compute_dtype=dtype,
        max_grad_norm=settings.max_grad_norm,
        scaler=None,
    )
    seconds, losses = [], []
    for step, pair in enumerate(encoded, start=1):
        started = time.perf_counter()
        record = optimizer_step(engine, [pair], 1, step, settings.learning_rate)
        seconds.append(time.perf_counter() - started)
        losses.append(record.loss)
    return {"seconds": seconds, "losses": losses, "logps_relative_error": error}


def measure_trl(steps: int, tuned: bool) -> dict[str, Any]:
    if tuned:
        from epistemic_stance.models.memory import tune_allocator

        tune_allocator()

    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    tokenizer, pairs = load_tokenizer_and_pairs()
    rows = [
        {
            "prompt": pair.prompt,
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in pairs[:steps]
    ]
    seconds: list[float] = []

    class Timer(TrainerCallback):  # type: ignore[misc]
        started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        changes = {"precompute_ref_log_probs": True, "gradient_checkpointing": False} if tuned else {}
        config = DPOConfig(
            output_dir=folder,
            per_device_train_batch_size=1,
            max_steps=steps,
            learning_rate=1e-5,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            **changes,
        )
        trainer = DPOTrainer(
            model=random_model(),
            ref_model=None if tuned else random_model(),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[Timer()],
        )
        trainer.train()
        losses = [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]
    return {"seconds": seconds, "losses": losses}


def measure(side: str, steps: int, threads: int) -> dict[str, Any]:
    """Run one side in this process."""
    import torch

    torch.set_num_threads(threads)
    if side.startswith("TRL"):
        result = measure_trl(steps, tuned=side == "TRL tuned")
    else:
        result = measure_ours(steps, "bfloat16" if "bf16" in side else "float32")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {**result, "peak_bytes": usage.ru_maxrss * PEAK_UNIT, "page_faults": usage.ru_minflt}


def measure_in_child(side: str, steps: int, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--child", side, "--steps", str(steps), "--threads", str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        ran = subprocess.run(
            [*command, "--json", str(result)], check=False, capture_output=True, text=True, env=environment
        )
        if ran.returncode:
            sys.exit(f"{side} failed:\n{ran.stderr[-2000:]}")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured


def summary(side: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [second for run in runs for second in run["seconds"][WARM_UP_STEPS:]]
    return {
        "side": side,
        "median_seconds": statistics.median(seconds),
        "fastest_seconds": min(seconds),
        "steps": len(seconds),
        "peak_gib": max(run["peak_bytes"] for run in runs) / 2**30,
        "page_faults_per_run": int(statistics.median(run["page_faults"] for run in runs)),
        "first_loss": runs[0]["losses"][0],
        "logps_relative_error": runs[0].get("logps_relative_error"),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    ours = rows[0]
    print(f"{'':12} {'median s':>9} {'fastest s':>9} {'x ours':>7} {'peak GiB':>9} {'loss 1':>8}")
    for row in rows:
        ratio = row["median_seconds"] / ours["median_seconds"]
        print(
            f"{row['side']:12} {row['median_seconds']:9.2f} {row['fastest_seconds']:9.2f} {ratio:7.2f} "
            f"{row['peak_gib']:9.2f} {row['first_loss']:8.5f}"
        )
        if row["logps_relative_error"]:
            print(f"{'':12} log-probabilities differ from float32 by up to {row['logps_relative_error']:.1e} relative")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7, help=f"optimizer steps a run; {WARM_UP_STEPS} are not counted")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side, alternating")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bf16", action="store_true", help="measure our side with bfloat16 autocast too")
    parser.add_argument("--only", action="append", help="measure only this side; may be repeated")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        options.json.write_text(json.dumps(measure(options.child, options.steps, options.threads)))
        return
    sides = options.only or DEFAULT_SIDES + (["ours, bf16"] if options.bf16 else [])
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side in sides:
            run = measure_in_child(side, options.steps, options.threads)
            runs[side].append(run)
            print(f"{side}: {' '.join(f'{second:.2f}' for second in run['seconds'])} s a step", file=sys.stderr)
    rows = [summary(side, runs[side]) for side in sides]
    print_table(rows)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rows": rows, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
