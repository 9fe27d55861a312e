"""Memory and disk that a run needs, checked before the weights are loaded."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.models.errors import file_errors
from epistemic_stance.models.memory import available_memory
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.stance.anchor_prompts import ANCHOR_TOKENS
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.packing import MAX_PACKED_TOKENS

if TYPE_CHECKING:
    from epistemic_stance.training.prepare import Job

GIB = 2**30
RUNTIME_BYTES = 400 * 2**20
"""Python, torch and transformers, loaded."""
STATE_BYTES = 12
"""A resume state holds a float32 weight and two Adam moments of each trained parameter."""
STATES_DURING_COMMIT = 3
"""Two are kept, and a third is complete before the oldest is dropped."""
CHECKPOINT_EXTRA_BYTES = 32 * 2**20
"""Tokenizer, configuration and metadata."""
FALLBACK_LORA_RANK = 16
MEMORY_MARGIN = 1.15
"""The sum of the parts is 8.4 GiB where a run was measured to take 9.6: buffers of kernels and fragmentation."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak bytes of training, by what holds them; the total includes MEMORY_MARGIN."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """Of the largest forward and backward pass, logits included."""
    runtime: int = RUNTIME_BYTES

    @property
    def total(self) -> int:
        parts = self.weights + self.gradients + self.optimizer + self.activations + self.runtime
        return round(MEMORY_MARGIN * parts)


def estimate_memory(
    parameters: int, trainable: int, *, config: Any, packed_tokens: int, answer_tokens: int, compute_dtype: torch.dtype
) -> MemoryEstimate:
    """Peak memory of float32 AdamW training, from counts alone.

    Args:
        parameters, trainable: of the model, adapters included; tied embeddings counted once.
        config: the model's configuration: num_hidden_layers, hidden_size, intermediate_size, vocab_size.
        packed_tokens, answer_tokens: of the largest forward pass; logits exist for answer tokens only.
    """
    text = config.get_text_config()
    kept_per_token = 40 * text.hidden_size + 16 * getattr(text, "intermediate_size", 4 * text.hidden_size)
    hidden = text.num_hidden_layers * kept_per_token * packed_tokens
    logits = 3 * 4 * text.vocab_size * answer_tokens  # the logits, their log-softmax and its gradient
    cast_weights = 0 if compute_dtype == torch.float32 else 2 * parameters
    return MemoryEstimate(4 * parameters, 4 * trainable, 8 * trainable, hidden + logits + cast_weights)


@dataclass(frozen=True)
class Alternative:
    """Another way to run the same job: its flags, what it needs and what there is for it."""

    flags: str
    estimate: MemoryEstimate
    available: int


def require_memory(
    estimate: MemoryEstimate, available: int, device: str, alternatives: Sequence[Alternative] = ()
) -> None:
    """Raises RefusedError if the estimate exceeds what is available; its hint lists the alternatives that fit."""
    if estimate.total <= available:
        return
    fitting = [other for other in alternatives if other.estimate.total <= other.available]
    hints = [f"{other.flags} needs about {gib(other.estimate.total)}" for other in fitting]
    raise RefusedError(
        f"training needs about {gib(estimate.total)} of memory on {device} ({composition(estimate)}), "
        f"and {gib(available)} are available",
        "; ".join(hints) or "nothing this command offers fits; use a smaller model or a machine with more memory",
    )


def composition(estimate: MemoryEstimate) -> str:
    return (
        f"weights {gib(estimate.weights)}, gradients {gib(estimate.gradients)}, optimizer {gib(estimate.optimizer)}, "
        f"activations {gib(estimate.activations)}, and a margin of {MEMORY_MARGIN - 1:.0%}"
    )


def gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def estimate_disk(parameters: int, trainable: int, checkpoints: int, save_dtype: torch.dtype) -> int:
    """Bytes of a finished run's checkpoints and of its resume states while the last one is being committed."""
    checkpoint = parameters * save_dtype.itemsize + CHECKPOINT_EXTRA_BYTES
    return checkpoints * checkpoint + STATES_DURING_COMMIT * STATE_BYTES * trainable


def free_disk(path: Path) -> int:
    """Bytes free where `path` is or will be."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(existing).free


def used_disk(run: RunFolder) -> int:
    """Bytes of a run's models and states, hard links counted once; other files in its folder are not ours to free."""
    own = (run.checkpoints, run.best, run.final, run.state)
    files = [path.stat() for folder in own for path in folder.rglob("*") if path.is_file()]
    return sum({(file.st_dev, file.st_ino): file.st_size for file in files}.values())


def require_disk(needed: int, free: int, folder: Path) -> None:
    """Raises RefusedError naming the bytes needed and free."""
    if needed > free:
        raise RefusedError(
            f"the run needs {needed} bytes ({gib(needed)}) of disk in {folder}, and {free} ({gib(free)}) are free",
            "save less often with a larger --checkpoint-every, train adapters with --lora-rank "
            f"{FALLBACK_LORA_RANK}, or choose another --output-dir",
        )


@dataclass(frozen=True)
class Resources:
    """What a run needs and what there is, for the header."""

    memory: MemoryEstimate
    memory_available: int
    disk_needed: int
    disk_free: int

    def memory_line(self) -> str:
        return f"about {gib(self.memory.total)} ({composition(self.memory)}); {gib(self.memory_available)} available"

    def disk_line(self) -> str:
        return f"about {gib(self.disk_needed)}; {gib(self.disk_free)} free"


def largest_pass(pairs: Sequence[EncodedPair], batch_size: int) -> tuple[int, int]:
    """Tokens and answer tokens of the largest forward pass a step could make of these pairs."""
    tokens = answers = 0
    for pair in sorted(pairs, key=lambda pair: pair.packed_length, reverse=True)[:batch_size]:
        if tokens and tokens + pair.packed_length > MAX_PACKED_TOKENS:
            break
        tokens += pair.packed_length
        answers += len(pair.chosen_ids) + len(pair.rejected_ids)
    return tokens, answers


@dataclass(frozen=True)
class Counts:
    """Size of a model, without its weights."""

    config: Any
    parameters: int
    linear_edges: int
    """Inputs plus outputs of every linear layer but the output head: adapter parameters per rank."""

    def with_lora(self, rank: int) -> tuple[int, int]:
        """All and trainable parameters with adapters of this rank; 0 trains all weights."""
        adapters = rank * self.linear_edges
        return self.parameters + adapters, adapters or self.parameters


def count_parameters(folder: Path, config: Any) -> Counts:
    """Counts from a folder's configuration: the model is built on the meta device, where tensors have no memory."""
    from transformers import AutoModelForCausalLM

    with file_errors(folder / "config.json", "not a causal language model"), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), trust_remote_code=False)
        model.tie_weights()
    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head]
    edges = sum(module.in_features + module.out_features for module in linear)
    return Counts(config, sum(parameter.numel() for parameter in model.parameters()), edges)


def check_resources(job: Job) -> Resources:
    """Measure the job against the machine. Raises RefusedError if memory or disk would not do.

    What the run folder holds of a run counts as free: a resumed run keeps it and a new one replaces it.
    """
    settings = job.settings
    counts = count_parameters(job.files.folder, job.config)

    def estimate(rank: int, batch_size: int) -> MemoryEstimate:
        tokens, answers = largest_pass(job.encoded, batch_size)
        if job.anchor_prompts:  # each anchor answer is a pass of its own
            prompt = max(len(prompt.token_ids) for prompt in job.anchor_prompts)
            tokens, answers = max(tokens, prompt + ANCHOR_TOKENS), max(answers, ANCHOR_TOKENS)
        return estimate_memory(
            *counts.with_lora(rank),
            config=counts.config,
            packed_tokens=tokens,
            answer_tokens=answers,
            compute_dtype=job.compute_dtype,
        )

    memory = estimate(settings.lora_rank, settings.batch_size)
    available = available_memory(job.device)
    alternatives = []
    if job.device != "cpu":
        alternatives.append(Alternative("--device cpu", memory, available_memory("cpu")))
    if counts.linear_edges and not settings.lora_rank:
        adapters = estimate(FALLBACK_LORA_RANK, settings.batch_size)
        alternatives.append(Alternative(f"--lora-rank {FALLBACK_LORA_RANK}", adapters, available))
    if settings.batch_size > 1:
        alternatives.append(Alternative("--batch-size 1", estimate(settings.lora_rank, 1), available))
    require_memory(memory, available, job.device, alternatives)

    disk = estimate_disk(
        counts.parameters, counts.with_lora(settings.lora_rank)[1], len(job.checkpoint_steps), job.save_dtype
    )
    free = free_disk(settings.output_dir) + used_disk(RunFolder(settings.output_dir))
    require_disk(disk, free, settings.output_dir)
    return Resources(memory, available, disk, free)
