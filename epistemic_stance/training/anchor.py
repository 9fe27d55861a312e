"""The anchor: the base model's own answers to neutral prompts, drawn before the first step and kept likely.

What it minimises, and why that holds the model to its base, is said at `dpo.anchor_term`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import ValidationError

from epistemic_stance.foundation.files import dump_json, write_atomic
from epistemic_stance.models.engine import Decoder, generate_in_memory
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import AnchorAnswer, AnchorAnswers
from epistemic_stance.stance.anchor_prompts import ANCHOR_TOKENS, EncodedPrompt
from epistemic_stance.training.checkpoint_eval import time_answering
from epistemic_stance.training.engine import Anchor, compute_precision
from epistemic_stance.training.packing import answer_logps
from epistemic_stance.training.prepare import Job


def open_anchor(job: Job, decoder: Decoder, folder: RunFolder, on_progress: Callable[[int, int], None]) -> Anchor:
    """The anchor of a run: its answers are drawn once, while the policy is the base; a resumed run reads them back."""
    answers = saved_answers(folder)
    if answers is None:
        answers = draw_answers(job, decoder, on_progress)
        record = AnchorAnswers(answers=answers)
        write_atomic(folder.anchor_answers, dump_json(record.model_dump(mode="json")))
    return Anchor(in_passes(answers, len(job.anchor_prompts), job.settings.seed), job.pairs_per_step)


def in_passes(answers: Sequence[AnchorAnswer], prompts: int, seed: int) -> list[AnchorAnswer]:
    """One answer to every prompt in random order, then the next to every prompt, and so on."""
    generator = torch.Generator().manual_seed(seed)
    passes = range(0, len(answers), prompts)
    return [
        answers[start + index] for start in passes for index in torch.randperm(prompts, generator=generator).tolist()
    ]


def saved_answers(folder: RunFolder) -> list[AnchorAnswer] | None:
    try:
        return AnchorAnswers.model_validate_json(folder.anchor_answers.read_bytes()).answers
    except (OSError, ValidationError):
        return None


def draw_answers(job: Job, decoder: Decoder, on_progress: Callable[[int, int], None]) -> list[AnchorAnswer]:
    """`anchor_draws` answers to each prompt, sampled at temperature 1 from the whole distribution, as the KL needs.

    The log-probabilities of its tokens are computed as a training step computes them.
    """
    prompts = list(job.anchor_prompts) * job.anchor_draws
    first_seed = job.settings.seed * 1_000_003
    requests = [
        Request(tuple(prompt.token_ids), 1.0, first_seed + number, ANCHOR_TOKENS)
        for number, prompt in enumerate(prompts)
    ]
    most = ANCHOR_TOKENS * len(requests)
    finished, _ = generate_in_memory(
        decoder,
        requests,
        SamplingConfig(ANCHOR_TOKENS),
        slots=len(job.anchor_prompts),
        on_step=lambda tokens: on_progress(tokens, most),
    )
    answers = []
    for prompt, answer in zip(prompts, finished, strict=True):
        ids = [*answer.token_ids, *([] if answer.end_id is None else [answer.end_id])]
        with torch.no_grad(), compute_precision(decoder.model, job.compute_dtype):
            logps = answer_logps(decoder.model, prompt.token_ids, ids).tolist()
        answers.append(
            AnchorAnswer(
                prompt=prompt.text,
                answer=decoder.text(answer),
                prompt_ids=prompt.token_ids,
                answer_ids=ids,
                base_logps=logps,
            )
        )
    return answers


def draw_seconds(decoder: Decoder, prompts: Sequence[EncodedPrompt], draws: int) -> float:
    """How long `draw_answers` will take if every answer runs to its full length."""
    token, step = time_answering(decoder, prompts[0].token_ids, len(prompts))
    prompt_tokens = sum(len(prompt.token_ids) for prompt in prompts)
    scored = token * (prompt_tokens + ANCHOR_TOKENS * len(prompts))
    return draws * (token * prompt_tokens + step * (ANCHOR_TOKENS - 1) + scored)
