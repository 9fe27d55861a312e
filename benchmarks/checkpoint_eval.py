"""Seconds of checkpoint evaluation: the engine against transformers' generate in padded batches, in turns.

    python benchmarks/checkpoint_eval.py --model MODEL [--rounds 3] [--threads N]

Both sides ask what a training asks of its base model: 16 unseen questions greedily and 8 neutral ones at temperature 1,
80 tokens each, and compute the log-probabilities of the neutral answers. `checkpoint` is one evaluation of the engine
during training. At the end the greedy answers of both sides are compared, and the estimate of the run header is shown.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from epistemic_stance.foundation.settings import DEFAULT_STANCE, TrainSettings
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.find import find_model
from epistemic_stance.models.open import open_model
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.training.checkpoint_eval import ANSWER_TOKENS, CheckpointEvaluation, choose_questions
from epistemic_stance.training.packing import answer_logps
from epistemic_stance.training.wording import WordingScale


def by_transformers(evaluation: CheckpointEvaluation) -> list[str]:
    decoder = evaluation.decoder
    texts: list[str] = []
    for questions, temperature in ((evaluation.questions.unseen, 0.0), (evaluation.questions.neutral, 1.0)):
        prompts = [encode_question(decoder.tokenizer, text, evaluation.system_prompt) for _, text in questions]
        answers = generate_batch(
            decoder.model,
            prompts,
            stop_ids=decoder.stop_ids,
            max_new_tokens=ANSWER_TOKENS,
            temperature=temperature,
        )
        if temperature == 0:
            texts = [decoder.text(answer) for answer in answers]
            continue
        for prompt, answer in zip(prompts, answers, strict=True):
            with torch.no_grad():
                answer_logps(decoder.model, prompt, answer.token_ids or [min(decoder.stop_ids)])
    return texts


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    stance, pairs = load_stance_and_pairs(DEFAULT_STANCE)
    opened = open_model(find_model(options.model), device="cpu", threads=options.threads)
    checking, decoder = timed(lambda: opened.decoder)
    questions = choose_questions(stance, pairs, TrainSettings.eval_questions)
    evaluation = CheckpointEvaluation(decoder, questions, pairs, WordingScale(pairs), stance.system_prompt)
    print(f"self-check {checking:.1f} s; products {decoder.products}; plain path: {decoder.why_plain or 'no'}")
    estimating, expected = timed(evaluation.seconds)
    theirs, ours, checkpoints = [], [], []
    for _ in range(options.rounds):
        seconds, texts = timed(lambda: by_transformers(evaluation))
        theirs.append(seconds)
        seconds, base = timed(lambda: evaluation.base_answers(lambda *_: None))
        ours.append(seconds)
        seconds, _ = timed(lambda base=base: evaluation.evaluate(base, lambda *_: None))
        checkpoints.append(seconds)
    for name, values in (("generate", theirs), ("engine", ours), ("checkpoint", checkpoints)):
        print(f"{name:12} {median(values):7.1f} s  ({', '.join(f'{value:.1f}' for value in values)})")
    same = sum(first == second for first, second in zip(texts, base.answers, strict=True))
    print(f"generate / engine {median(theirs) / median(ours):.1f}; {same} of {len(texts)} greedy answers identical")
    print(f"the header expects {expected.base:.1f} s and {expected.checkpoint:.1f} s, after {estimating:.1f} s")


if __name__ == "__main__":
    main()
