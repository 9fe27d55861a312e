"""From settings to a job that can start: everything that can be wrong is found here, before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.settings import NOT_PART_OF_A_RUN, TrainSettings
from epistemic_stance.models.base_files import newer_forms
from epistemic_stance.models.chat_template import encode_pair, encode_question, special_tokens, template_digest
from epistemic_stance.models.find import ModelFiles, find_model
from epistemic_stance.models.load import load_config, load_stop_ids, load_tokenizer, longest_pair, require_rows
from epistemic_stance.records.checkpoint_name import CheckpointName, written_checkpoint
from epistemic_stance.stance.anchor_prompts import (
    ANCHOR_TOKENS,
    AnchorPrompt,
    EncodedPrompt,
    anchor_digest,
    check_anchor_prompts,
    load_anchor_prompts,
)
from epistemic_stance.stance.check_pairs import check_pairs, check_tokens
from epistemic_stance.stance.findings import Finding, error
from epistemic_stance.stance.load import Stance, load_stance_and_pairs
from epistemic_stance.stance.pairs import EncodedPair, Pair, corpus_digest

if TYPE_CHECKING:
    import torch

MOST_DRAWS = 8
"""Answers to one anchor prompt. More are not worth their time: a run that takes more steps has long left its base."""


@dataclass(frozen=True)
class Inputs:
    """What people wrote, read and checked as text; no model, no torch."""

    settings: TrainSettings
    stance: Stance
    pairs: Sequence[Pair]
    anchor_prompts: Sequence[AnchorPrompt]
    """Empty without --anchor-weight."""
    findings: Sequence[Finding]
    """What the lint found and does not stop the run."""


@dataclass(frozen=True)
class Job:
    """All that a run is made of, checked."""

    settings: TrainSettings
    stance: Stance
    pairs: Sequence[Pair]
    encoded: Sequence[EncodedPair]
    anchor_prompts: Sequence[EncodedPrompt]
    """Empty without --anchor-weight."""
    warnings: list[str]
    """What was found in pairs and model and does not stop the run."""
    files: ModelFiles
    config: Any
    """The model's configuration, as transformers read it."""
    tokenizer: Any
    system_prompt: str | None
    stop_ids: set[int]
    weights_digest: str
    corpus_digest: str
    anchor_digest: str | None
    template_digest: str
    device: str
    compute_dtype: torch.dtype
    save_dtype: torch.dtype

    @property
    def pairs_per_step(self) -> int:
        return self.settings.batch_size * self.settings.gradient_accumulation

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.settings, len(self.pairs))

    @property
    def anchor_draws(self) -> int:
        """Answers to each anchor prompt: enough for every step to take new ones, up to MOST_DRAWS."""
        taken = self.total_steps * self.pairs_per_step
        return min(-(-taken // len(self.anchor_prompts)), MOST_DRAWS) if self.anchor_prompts else 0

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.settings.epochs

    @property
    def checkpoint_steps(self) -> dict[int, CheckpointName]:
        """Step -> the checkpoint that is saved after it, in order. A step that ends an epoch has the epoch's name."""
        settings, length = self.settings, self.steps_per_epoch
        regular = range(settings.checkpoint_every, settings.epochs + 1, settings.checkpoint_every)
        extra = extra_checkpoints(settings.checkpoint_at)
        steps = {name.number if name.is_step else name.number * length for name in extra}
        steps |= {epoch * length for epoch in (*regular, settings.epochs)}
        return {
            step: CheckpointName(step, is_step=True) if step % length else CheckpointName(step // length)
            for step in sorted(steps)
        }


def extra_checkpoints(listed: str) -> list[CheckpointName]:
    """The epochs and steps of `--checkpoint-at step5,1,2`. Raises ValueError."""
    names = [(part, written_checkpoint(part)) for part in listed.split(",") if part.strip()]
    if wrong := [part for part, name in names if name is None]:
        raise ValueError(wrong[0])
    return [name for _, name in names if name]


def check_settings(settings: TrainSettings) -> None:
    """Raises InputError with every setting that makes no sense; none is repaired in passing."""
    problems = []

    def require(name: str, right: bool, expected: str) -> None:
        if not right:
            flag = "--" + name.replace("_", "-")
            problems.append(Problem(flag, f"is {getattr(settings, name)}, expected {expected}"))

    for name in ("epochs", "checkpoint_every", "batch_size", "gradient_accumulation", "max_length"):
        require(name, getattr(settings, name) >= 1, "1 or more")
    for name in ("warmup_steps", "lora_rank", "eval_questions", "threads"):
        require(name, getattr(settings, name) >= 0, "0 or more")
    for name in ("weight_decay", "max_grad_norm", "nll_weight", "dpop_weight", "anchor_weight"):
        require(name, 0 <= getattr(settings, name) < float("inf"), "0 or more")
    for name in ("learning_rate", "beta"):
        require(name, 0 < getattr(settings, name) < float("inf"), "above 0")
    require("seed", 0 <= settings.seed < 2**31, "0 to 2147483647")
    require("label_smoothing", 0 <= settings.label_smoothing < 0.5, "0 to below 0.5")
    require("label_smoothing", settings.label_smoothing == 0 or settings.loss == "sigmoid", "0 unless --loss sigmoid")
    require("overwrite", not (settings.overwrite and settings.resume), "not together with --resume")
    try:
        extra = extra_checkpoints(settings.checkpoint_at)
        outside = [name for name in extra if not 1 <= name.number <= (name.number if name.is_step else settings.epochs)]
        require("checkpoint_at", not outside, f"epochs from 1 to {settings.epochs} and steps from 1")
    except ValueError:
        require("checkpoint_at", False, "epochs and steps with commas, such as step5,step10,1,2,3")
    if problems:
        raise InputError(problems)


def _require_steps(settings: TrainSettings, pairs: int) -> None:
    """Raises InputError if a step of `--checkpoint-at` comes after the last one."""
    last = settings.epochs * steps_per_epoch(settings, pairs)
    late = [name.short for name in extra_checkpoints(settings.checkpoint_at) if name.is_step and name.number > last]
    if late:
        what = f"names {', '.join(late)}, expected steps from 1 to {last} ({settings.epochs} epochs of {pairs} pairs)"
        raise InputError([Problem("--checkpoint-at", what, hint="leave them out, or train for more --epochs")])


def steps_per_epoch(settings: TrainSettings, pairs: int) -> int:
    return -(-pairs // (settings.batch_size * settings.gradient_accumulation))


def read_inputs(settings: TrainSettings) -> Inputs:
    """Check settings, stance and pairs before torch, which takes seconds to import, is touched.

    Raises InputError with every problem.
    """
    check_settings(settings)
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    _require_steps(settings, len(pairs))
    findings = check_pairs(pairs, stance.question_sets, stance.question_places)
    anchor_prompts = load_anchor_prompts(stance.anchor) if settings.anchor_weight else []
    findings += check_anchor_prompts(anchor_prompts, pairs, stance.question_sets, stance.question_places)
    _raise_errors(findings)
    return Inputs(settings, stance, pairs, anchor_prompts, findings)


def prepare(inputs: Inputs) -> Job:
    """Find model and tokenizer and check the pairs in tokens. Raises InputError or RefusedError."""
    settings, stance, pairs = inputs.settings, inputs.stance, inputs.pairs
    files = find_model(settings.model)
    config = load_config(files.folder)
    tokenizer = load_tokenizer(files.folder)
    system_prompt = settings.system_prompt if settings.system_prompt is not None else stance.system_prompt
    encoded = [encode_pair(tokenizer, pair, system_prompt) for pair in pairs]

    require_rows(tokenizer, config, (token for each in encoded for token in each.all_ids))

    import torch

    from epistemic_stance.models.device import choose_device, choose_dtype

    stop_ids = load_stop_ids(files.folder, tokenizer)
    limit = longest_pair(config, settings.max_length)
    findings = [*inputs.findings, *check_tokens(pairs, encoded, stop_ids, limit, special_tokens(tokenizer))]
    anchor_prompts = [
        EncodedPrompt(prompt.text, encode_question(tokenizer, prompt.text, system_prompt))
        for prompt in inputs.anchor_prompts
    ]
    for prompt, encoded_prompt in zip(inputs.anchor_prompts, anchor_prompts, strict=True):
        longest = len(encoded_prompt.token_ids) + ANCHOR_TOKENS
        if longest > limit:
            what = f"prompt and answer take up to {longest} tokens, expected at most {limit}"
            findings.append(error(prompt.where, "", what, "shorten the prompt or raise --max-length"))
    _raise_errors(findings)

    device = choose_device(settings.device)
    return Job(
        settings=settings,
        stance=stance,
        pairs=pairs,
        encoded=encoded,
        anchor_prompts=anchor_prompts,
        warnings=[str(problem) for problem in (*(each.problem for each in findings), *newer_forms(files.folder))],
        files=files,
        config=config,
        tokenizer=tokenizer,
        system_prompt=system_prompt,
        stop_ids=stop_ids,
        weights_digest=files.digest(),
        corpus_digest=corpus_digest(pairs),
        anchor_digest=anchor_digest(inputs.anchor_prompts) if inputs.anchor_prompts else None,
        template_digest=template_digest(tokenizer),
        device=device,
        compute_dtype=choose_dtype(settings.dtype, device),
        save_dtype=getattr(torch, files.dtype() if settings.save_dtype == "auto" else settings.save_dtype),
    )


def _raise_errors(findings: Sequence[Finding]) -> None:
    errors = [finding.problem for finding in findings if finding.severity == "error"]
    if errors:
        raise InputError(errors)


def recorded_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that make a run what it is, as run.json keeps them."""
    kept = {name: value for name, value in asdict(settings).items() if name not in NOT_PART_OF_A_RUN}
    return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}
