"""The run header: what is about to happen, how long it takes and what it needs."""

from __future__ import annotations

from statistics import fmean

from epistemic_stance.foundation.console import duration
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE
from epistemic_stance.models.device import has_fast_bfloat16
from epistemic_stance.records.training import RunRecord
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.prepare import Job
from epistemic_stance.training.resources import Resources

FORWARD_TO_STEP = 3.0
"""A step costs about three forward passes of its pairs (forward, and a backward of twice that) ..."""
OPTIMIZER_BYTES_PER_SECOND = {"cpu": 15e9, "cuda": 1000e9, "mps": 100e9}
"""... and 28 bytes of memory traffic per trained parameter."""


def header_rows(job: Job, run: RunRecord, resources: Resources, forward_seconds: float) -> list[tuple[str, str]]:
    settings = job.settings
    stand_in = f"; {DEMO_NOTICE}" if run.base_model == DEMO_MODEL else ""
    adapters = f", {run.trainable_parameters / 1e6:.1f} M of them in LoRA adapters" if settings.lora_rank else ""
    prompt = fmean(len(pair.prompt_ids) for pair in job.encoded)
    chosen = fmean(len(pair.chosen_ids) for pair in job.encoded)
    rejected = fmean(len(pair.rejected_ids) for pair in job.encoded)
    epochs = job.checkpoint_epochs
    shown = ", ".join(map(str, epochs)) if len(epochs) <= 8 else f"{epochs[0]}, {epochs[1]} ... {epochs[-1]}"
    seconds = job.total_steps * step_seconds(job, run, forward_seconds)
    pairs = f"{run.pairs} of stance {job.stance.name}; mean tokens: "
    pairs += f"prompt {prompt:.0f}, chosen {chosen:.0f}, rejected {rejected:.0f}"
    schedule = f"{settings.epochs} epochs of {job.steps_per_epoch} steps = {job.total_steps} steps of "
    schedule += f"{job.pairs_per_step} pair(s); learning rate {settings.learning_rate:g}, "
    schedule += f"warm-up {settings.warmup_steps}, {settings.lr_schedule}"
    precision = f"master weights float32, compute {run.compute_dtype}, saved as {run.save_dtype}"
    time = f"about {duration(seconds)} without saving and watching"
    if run.compute_dtype == "float32" and has_fast_bfloat16(run.device):
        time += "; --dtype bfloat16 is faster on this processor"
    return [
        ("model", f"{run.base_model}: {run.parameters / 1e6:.1f} M parameters{adapters}{stand_in}"),
        ("pairs", pairs),
        ("objective", str(Objective.of(settings))),
        ("schedule", schedule),
        ("device", f"{run.device}, {run.threads} threads; {precision}"),
        ("step", f"{'packed' if run.packed else 'plain'}: {run.packing}"),
        ("memory", resources.memory_line()),
        ("disk", resources.disk_line()),
        ("time", time),
        ("checkpoints", f"{len(epochs)} at epochs {shown}, in {settings.output_dir}/checkpoints"),
        ("log", f"{settings.output_dir}/logs/{run.log_file}"),
    ]


def step_seconds(job: Job, run: RunRecord, forward_seconds: float) -> float:
    """Expected seconds of one optimizer step, from one measured forward pass of the longest pair."""
    longest = max(pair.packed_length for pair in job.encoded)
    mean_length = fmean(pair.packed_length for pair in job.encoded)
    forward = forward_seconds * mean_length / longest * job.pairs_per_step
    return FORWARD_TO_STEP * forward + 28 * run.trainable_parameters / OPTIMIZER_BYTES_PER_SECOND[run.device]
