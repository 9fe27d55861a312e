"""The run header: what is about to happen, how long it takes and what it needs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from epistemic_stance.foundation.console import duration
from epistemic_stance.foundation.recipes import recipe_line
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE
from epistemic_stance.foundation.wording import local_model
from epistemic_stance.records.training import RunRecord
from epistemic_stance.stance.anchor_prompts import ANCHOR_TOKENS
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.checkpoint_eval import EvaluationSeconds
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.packing import PairForward
from epistemic_stance.training.prepare import Job
from epistemic_stance.training.reference import compute_reference
from epistemic_stance.training.resources import Resources

FORWARD_TO_STEP = 3.0
"""A step costs about three forward passes of its pairs (forward, and a backward of twice that) ..."""
OPTIMIZER_BYTES_PER_SECOND = {"cpu": 15e9, "cuda": 1000e9, "mps": 100e9}
"""... and 28 bytes of memory traffic per trained parameter."""

CHECKPOINTS_SHOWN = 8
TIMED_ROUNDS = 3
TIMED_SECONDS = 5.0
"""No further round of measurements begins after so long."""
FACTOR_WORTH_NAMING = 1.1
"""A smaller difference between two precisions may be noise."""


def dtypes_to_time(chosen: torch.dtype, device: str) -> list[torch.dtype]:
    """The chosen precision, and on a CPU the one that may be faster there: which one is depends on the processor."""
    others = [torch.float32, torch.bfloat16] if device == "cpu" else []
    return [chosen, *(dtype for dtype in others if dtype != chosen)]


def time_forward(
    model: Any, forward: PairForward, pairs: Sequence[EncodedPair], dtypes: Sequence[torch.dtype]
) -> dict[str, float]:
    """Name of each precision -> seconds of one forward pass of the longest pair, the fastest of a few in turns.

    A precision other than the first that this model cannot be computed in is left out.
    """
    longest = max(pairs, key=lambda pair: pair.longest)
    fastest: dict[str, float] = {}
    begun = time.perf_counter()
    for turn in range(TIMED_ROUNDS):
        for dtype in dtypes if turn == 0 or time.perf_counter() - begun < TIMED_SECONDS else ():
            with contextlib.nullcontext() if dtype == dtypes[0] else contextlib.suppress(RuntimeError):
                started = time.perf_counter()
                compute_reference(model, forward, [longest], dtype)
                name = str(dtype).removeprefix("torch.")
                fastest[name] = min(time.perf_counter() - started, fastest.get(name, float("inf")))
    return fastest


def header_rows(
    job: Job,
    run: RunRecord,
    resources: Resources,
    forward_seconds: Mapping[str, float],
    evaluation: EvaluationSeconds,
) -> list[tuple[str, str]]:
    """Name and value of each row. `forward_seconds` is what `time_forward` measured."""
    settings = job.settings
    stand_in = f"; {DEMO_NOTICE}" if run.base_model == DEMO_MODEL else ""
    adapters = f", {run.trainable_parameters / 1e6:.1f} M of them in LoRA adapters" if settings.lora_rank else ""
    prompt = fmean(len(pair.prompt_ids) for pair in job.encoded)
    chosen = fmean(len(pair.chosen_ids) for pair in job.encoded)
    rejected = fmean(len(pair.rejected_ids) for pair in job.encoded)
    saved = [name.short for name in job.checkpoint_steps.values()]
    shown = ", ".join(saved if len(saved) <= CHECKPOINTS_SHOWN else [*saved[: CHECKPOINTS_SHOWN - 2], "...", saved[-1]])
    pairs = f"{run.pairs} of stance {job.stance.name}; mean tokens: "
    pairs += f"prompt {prompt:.0f}, chosen {chosen:.0f}, rejected {rejected:.0f}"
    schedule = f"{settings.epochs} epochs of {job.steps_per_epoch} steps = {job.total_steps} steps of "
    schedule += f"{job.pairs_per_step} pair(s); learning rate {settings.learning_rate:g}, "
    schedule += f"warm-up {settings.warmup_steps}, {settings.lr_schedule}"
    precision = f"master weights float32, compute {run.compute_dtype}, saved as {run.save_dtype}"
    prompts = len(job.anchor_prompts)
    anchor = f"{prompts * job.anchor_draws} answers of the base model to {prompts} neutral prompts, "
    anchor += f"up to {ANCHOR_TOKENS} tokens each; a step takes as many as pairs"
    return [
        ("model", f"{local_model(run.base_model)}: {run.parameters / 1e6:.1f} M parameters{adapters}{stand_in}"),
        ("pairs", pairs),
        *([("recipe", recipe_line(settings))] if settings.recipe else []),
        ("objective", str(Objective.of(settings))),
        *([("anchor", anchor)] if job.anchor_prompts else []),
        ("schedule", schedule),
        ("device", f"{run.device}, {run.threads} threads; {precision}"),
        ("step", f"{'packed' if run.packed else 'plain'}: {run.packing}"),
        ("memory", resources.memory_line()),
        ("disk", resources.disk_line()),
        ("time", time_line(job, run, forward_seconds, evaluation)),
        ("checkpoints", f"{len(saved)} at epochs {shown}, in {settings.output_dir}/checkpoints"),
        ("log", f"{settings.output_dir}/logs/{run.log_file}"),
    ]


def time_line(job: Job, run: RunRecord, forward_seconds: Mapping[str, float], evaluation: EvaluationSeconds) -> str:
    """How long the run takes, and which precision is the faster one on this machine, if it matters."""
    expected = {dtype: job.total_steps * step_seconds(job, run, forward) for dtype, forward in forward_seconds.items()}
    answering = evaluation.base + len(job.checkpoint_steps) * evaluation.checkpoint
    line = f"about {duration(expected[run.compute_dtype] + answering)} without saving"
    if answering:
        line += f", {duration(evaluation.base)} of them base answers and "
        line += f"{duration(answering - evaluation.base)} checkpoint evaluation"
    fastest, slowest = min(expected, key=expected.__getitem__), max(expected, key=expected.__getitem__)
    factor = expected[slowest] / expected[fastest]
    if factor < FACTOR_WORTH_NAMING:
        return line
    if fastest == run.compute_dtype:
        return f"{line}; {slowest} would take {factor:.1f} times as long here"
    return f"{line}; --dtype {fastest} is {factor:.1f} times as fast here"


def step_seconds(job: Job, run: RunRecord, forward_seconds: float) -> float:
    """Expected seconds of one optimizer step, from one measured forward pass of the longest pair.

    An anchor answer counts by its tokens, at its full length.
    """
    longest = max(pair.packed_length for pair in job.encoded)
    mean_length = fmean(pair.packed_length for pair in job.encoded)
    if job.anchor_prompts:
        mean_length += fmean(len(prompt.token_ids) + ANCHOR_TOKENS for prompt in job.anchor_prompts)
    forward = forward_seconds * mean_length / longest * job.pairs_per_step
    return FORWARD_TO_STEP * forward + 28 * run.trainable_parameters / OPTIMIZER_BYTES_PER_SECOND[run.device]
