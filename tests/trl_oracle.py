"""Train the same pairs with TRL's DPOTrainer and with our engine, and measure how far the two differ.

TRL runs as it comes: its own tokenization, collator with padding, forward passes, losses, AdamW and clipping.
Only its order (sequential) and schedule (constant, no warm-up) are set to ours, and what it computes is read
from its own tensors.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tiny import TEMPLATES, tiny_model, tiny_pairs, tiny_tokenizer

from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS, LossName, TrainSettings
from epistemic_stance.models.chat_template import encode_pair
from epistemic_stance.records.training import StepRecord
from epistemic_stance.stance.pairs import EncodedPair, Pair
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.engine import Engine, learning_rate_at, make_optimizer, optimizer_step
from epistemic_stance.training.packing import choose_forward
from epistemic_stance.training.reference import compute_reference

STEPS = 24
SETTINGS = TrainSettings(
    learning_rate=1e-3, weight_decay=0.1, max_grad_norm=1.0, warmup_steps=0, lr_schedule="constant", beta=0.1
)

MERGING_PAIRS = [
    Pair("merge-1", "test", "The tide is low", "er than it was.", "est of the whole week, I feel."),
    Pair("merge-2", "test", "This walk is slow", "er.", "ish, and a slow walk is what I love."),
    Pair("merge-3", "test", "Is the tower tall", "er than the door? I cannot see it.", "? Yes."),
    Pair("merge-4", "test", "That run was long", "er than eight metres.", "er than I was told, and I was told much."),
]
"""Raw text whose last prompt token merges with the first of an answer under the tokenizer of tiny.py."""


@dataclass(frozen=True)
class Case:
    """One comparison: loss, the data, and pairs per step."""

    loss: LossName = "sigmoid"
    nll_weight: float = 0.0
    length_normalize: bool = False
    batch_size: int = 1
    data: str = "qwen2.5"
    """A chat template of tiny.py, or 'merging text'."""
    family: str = "qwen2"

    def __str__(self) -> str:
        name = self.loss + ("+nll" if self.nll_weight else "") + (" per token" if self.length_normalize else "")
        return f"{name}, batch {self.batch_size}, {self.data}, {self.family}"

    @property
    def pairs(self) -> list[Pair]:
        return tiny_pairs(5) if self.data in TEMPLATES else MERGING_PAIRS

    @property
    def trl_loss(self) -> list[str]:
        names = ["sigmoid_norm" if self.length_normalize else self.loss]
        return [*names, "sft"] if self.nll_weight else names


CASES = [
    *(
        Case(loss, nll_weight, data=data)
        for data in ("qwen2.5", "merging text")
        for loss, nll_weight in (("sigmoid", 0.0), ("ipo", 0.0), ("sigmoid", 1.0))
    ),
    Case(batch_size=4),
    Case(batch_size=4, data="merging text"),
    Case("hinge", nll_weight=1.0),  # alone it ends at 1 - 1 = 0, where a relative difference is rounding
    Case(length_normalize=True),
    Case(data="qwen3", family="qwen3"),
    Case(data="llama3.2", family="llama", batch_size=3),
    Case(data="gemma", family="gemma2"),
]


@dataclass
class Trace:
    """What one side computed, step by step."""

    tokens: list[tuple[list[int], list[int], list[int]]] = field(default_factory=list)
    """(prompt, chosen, rejected) of every pair."""
    logps: list[list[float]] = field(default_factory=list)
    """Of every step: log-probabilities of the chosen answers of its pairs, then of the rejected ones."""
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    weights: list[torch.Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Agreement:
    """Largest relative differences over all steps (log-probabilities: over all pairs of all steps)."""

    same_tokens: bool
    logps: float
    loss: float
    grad_norm: float
    weights: float
    """Distance between the two final weight vectors, relative to the distance TRL moved."""
    clipped: int
    """Steps whose gradient was clipped."""
    loss_before: float
    loss_after: float


def tokenizer_of(case: Case) -> Any:
    return tiny_tokenizer(case.data if case.data in TEMPLATES else "none")


def batches(case: Case, pairs: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """Sequential batches of one pass; the last may be short, as in TRL."""
    return [list(pairs[start : start + case.batch_size]) for start in range(0, len(pairs), case.batch_size)]


def train_ours(case: Case) -> Trace:
    tokenizer, model = tokenizer_of(case), tiny_model(case.family)
    pairs = [encode_pair(tokenizer, pair) for pair in case.pairs]
    forward = choose_forward(model, pairs)
    assert forward.packed, forward.reason
    engine = Engine(
        model=model,
        forward=forward,
        objective=Objective(
            case.loss, SETTINGS.beta, length_normalize=case.length_normalize, nll_weight=case.nll_weight
        ),
        reference=compute_reference(model, forward, pairs, torch.float32),
        optimizer=make_optimizer(model, SETTINGS),
        batch_size=case.batch_size,
        compute_dtype=torch.float32,
        max_grad_norm=SETTINGS.max_grad_norm,
        scaler=None,
    )
    epoch = batches(case, pairs)
    records: list[StepRecord] = []
    for step in range(1, STEPS + 1):
        rate = learning_rate_at(step, STEPS, SETTINGS)
        records.append(optimizer_step(engine, epoch[(step - 1) % len(epoch)], 1, step, rate))
    return Trace(
        tokens=[(pair.prompt_ids, pair.chosen_ids, pair.rejected_ids) for pair in pairs],
        logps=[
            [pair.chosen_logps for pair in record.pairs] + [pair.rejected_logps for pair in record.pairs]
            for record in records
        ],
        losses=[record.loss for record in records],
        grad_norms=[record.grad_norm for record in records],
        weights=[parameter.detach() for parameter in model.parameters()],
    )


def trl_rows(case: Case) -> list[dict[str, Any]]:
    if case.data not in TEMPLATES:
        return [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in case.pairs]
    return [
        {
            "prompt": pair.prompt,
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
            "chat_template_kwargs": TEMPLATE_ARGUMENTS,
        }
        for pair in case.pairs
    ]


def train_trl(case: Case) -> Trace:
    from datasets import Dataset, disable_progress_bars
    from transformers.trainer_callback import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    disable_progress_bars()

    class TracingTrainer(DPOTrainer):
        def compute_loss(self, *arguments: Any, **keywords: Any) -> Any:
            loss = super().compute_loss(*arguments, **keywords)
            trace.losses.append(loss.item())
            return loss

    trace = Trace()
    model = tiny_model(case.family)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TracingTrainer(
            model=model,
            ref_model=copy.deepcopy(model),
            args=DPOConfig(
                output_dir=folder,
                max_steps=STEPS,
                per_device_train_batch_size=case.batch_size,
                train_sampling_strategy="sequential",
                learning_rate=SETTINGS.learning_rate,
                lr_scheduler_type="constant",
                warmup_steps=0,
                weight_decay=SETTINGS.weight_decay,
                max_grad_norm=SETTINGS.max_grad_norm,
                beta=SETTINGS.beta,
                loss_type=case.trl_loss,
                loss_weights=[1.0, case.nll_weight][: len(case.trl_loss)],
                bf16=False,
                use_cpu=True,
                gradient_checkpointing=False,
                logging_steps=1,
                disable_tqdm=True,
                report_to="none",
                save_strategy="no",
            ),
            train_dataset=Dataset.from_list(trl_rows(case)),
            processing_class=tokenizer_of(case),
        )
        # The model's own output: per-token log-probabilities, 0 outside the answers.
        trainer.model.register_forward_hook(
            lambda _module, _arguments, output: trace.logps.append(output.log_probs.detach().sum(dim=1).tolist())
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    columns = trainer.train_dataset[:]
    trace.tokens = list(zip(columns["prompt_ids"], columns["chosen_ids"], columns["rejected_ids"], strict=True))
    trace.grad_norms = [line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line]
    trace.weights = [parameter.detach() for parameter in trainer.model.parameters()]
    return trace


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Largest |ours - theirs| / |theirs|."""
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def distance(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    return sum((a - b).double().square().sum().item() for a, b in zip(first, second, strict=True)) ** 0.5


def agreement(case: Case) -> Agreement:
    start = [parameter.detach() for parameter in tiny_model(case.family).parameters()]
    ours, theirs = train_ours(case), train_trl(case)
    assert len(ours.losses) == len(theirs.losses) == len(theirs.grad_norms) == STEPS
    return Agreement(
        same_tokens=ours.tokens == theirs.tokens,
        logps=max(map(largest_difference, ours.logps, theirs.logps)),
        loss=largest_difference(ours.losses, theirs.losses),
        grad_norm=largest_difference(ours.grad_norms, theirs.grad_norms),
        weights=distance(ours.weights, theirs.weights) / distance(start, theirs.weights),
        clipped=sum(norm > SETTINGS.max_grad_norm for norm in theirs.grad_norms),
        loss_before=theirs.losses[0],
        loss_after=theirs.losses[-1],
    )
