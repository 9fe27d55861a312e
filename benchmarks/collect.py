"""Answers a minute on a CPU: the local backend against transformers' generate, one answer at a time.

    STANCE_REFERENCE_DATA=... python benchmarks/collect.py [--questions 4] [--median 36] [--every 1] [--json out.json]

A model of the shape of Qwen2.5-0.5B-Instruct with random weights, float32, answers questions of the shipped set at the
comprehensive setting: temperatures 0.3, 0.7, 1.0 and 1.3, five iterations each. Random weights never stop, so the
length of every answer is drawn beforehand, log-normal and cut at 8 and 256 tokens, and both sides stop there.

    one at a time   plain.generate_batch with a batch of one: transformers' generate, every sampling field explicit
    slots           LocalBackend: groups, slots, shared prompts, oneDNN products

Both sides have one process, one model, the same threads and the same allocator setting. The first side generates
every answer (or with --every N each N-th of them) once, in four blocks; after each block the second side generates all
answers. Medians of the blocks' tokens a second count, and answers a minute are those at the sample's mean length. At
the end both answer some prompts greedily.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from epistemic_stance.collection.design import Item, plan_items
from epistemic_stance.collection.local import LocalBackend, grouped
from epistemic_stance.foundation.settings import DEFAULT_STANCE
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.find import ModelFiles
from epistemic_stance.models.load import load_tokenizer
from epistemic_stance.models.memory import tune_allocator
from epistemic_stance.models.open import OpenedModel
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.stance.load import load_stance_and_pairs

TEMPERATURES = (0.3, 0.7, 1.0, 1.3)
ITERATIONS = 5
SAMPLING = SamplingConfig(max_new_tokens=256)
SHORTEST = 8
SPREAD = 0.6
GREEDY_TOKENS = 24
BLOCKS = 4
SEED = 42


class StoppedBackend(LocalBackend):
    """The local backend with the length of each answer given by its seed."""

    lengths: dict[int, int]

    def request(self, item: Item, prompt_ids: tuple[int, ...]) -> Request:
        return replace(super().request(item, prompt_ids), max_new_tokens=self.lengths[item.seed])


def model_folder() -> Path:
    root = os.environ.get("STANCE_REFERENCE_DATA")
    if not root:
        sys.exit("set STANCE_REFERENCE_DATA to the folder that holds qwen2.5-0.5b-instruct (config and tokenizer)")
    return Path(root) / "qwen2.5-0.5b-instruct"


def sample(questions: int, median: float) -> tuple[list[Item], dict[int, int]]:
    """The plan of the first questions, and the length of each answer by its seed."""
    stance, _ = load_stance_and_pairs(DEFAULT_STANCE)
    asked = next(iter(stance.question_sets.values())).questions[:questions]
    items = plan_items([(q.id, q.category, q.text) for q in asked], TEMPERATURES, ITERATIONS, SEED)
    rng = random.Random(SEED)
    drawn = (round(median * rng.lognormvariate(0, SPREAD)) for _ in items)
    lengths = [max(SHORTEST, min(SAMPLING.max_new_tokens, length)) for length in drawn]
    return items, {item.seed: length for item, length in zip(items, lengths, strict=True)}


def open_random(lengths: dict[int, int], slots: int) -> StoppedBackend:
    """The backend over random weights."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(model_folder())
    opened = OpenedModel(
        files=ModelFiles("random", model_folder()),
        model=AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval(),
        tokenizer=load_tokenizer(model_folder()),
        stop_ids={config.vocab_size},
        device="cpu",
        dtype="float32",
        threads=torch.get_num_threads(),
    )
    backend = StoppedBackend(opened, SAMPLING, slots=slots)
    backend.lengths = lengths
    return backend


def answer_alone(backend: StoppedBackend, item: Item) -> str:
    [answer] = generate_batch(
        backend.decoder.model,
        [encode_question(backend.decoder.tokenizer, item.question)],
        stop_ids=backend.decoder.stop_ids,
        max_new_tokens=backend.lengths[item.seed],
        temperature=item.temperature,
        seed=item.seed,
    )
    assert len(answer.token_ids) == backend.lengths[item.seed]
    return backend.decoder.text(answer)


def one_at_a_time(backend: StoppedBackend, items: list[Item]) -> float:
    """Seconds of the first side."""
    started = time.perf_counter()
    for item in items:
        answer_alone(backend, item)
    return time.perf_counter() - started


def in_slots(backend: StoppedBackend, items: list[Item]) -> float:
    """Seconds of the second side."""
    started = time.perf_counter()
    for group, replies in backend.answers(grouped(items, backend.slots)):
        assert [reply.tokens for reply in replies] == [backend.lengths[item.seed] for item in group]
    return time.perf_counter() - started


def greedy_agreement(backend: StoppedBackend, items: list[Item]) -> str:
    """Greedy answers of both sides to one question each."""
    firsts = list({item.question: replace(item, temperature=0.0) for item in items}.values())
    backend.lengths = {item.seed: GREEDY_TOKENS for item in firsts}
    texts = [answer_alone(backend, item) for item in firsts]
    [(_, replies)] = backend.answers([tuple(firsts)])
    same = sum(reply.text == text for reply, text in zip(replies, texts, strict=True))
    return f"{same} of {len(firsts)} greedy answers of {GREEDY_TOKENS} tokens identical"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=4, help="20 answers each")
    parser.add_argument("--median", type=float, default=36.0, help="median length of the answers in tokens")
    parser.add_argument("--every", type=int, default=1, help="one at a time: each N-th answer of the sample")
    parser.add_argument("--slots", type=int, default=0, help="0 = as the backend chooses")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_allocator()
    items, lengths = sample(options.questions, options.median)
    backend = open_random(lengths, options.slots)

    drawn = sorted(lengths.values())
    tokens = sum(drawn)
    singles = items[:: options.every]
    theirs, ours = [], []
    for index in range(BLOCKS):
        block = singles[index::BLOCKS]
        theirs.append(sum(lengths[item.seed] for item in block) / one_at_a_time(backend, block))
        ours.append(tokens / in_slots(backend, items))
        print(f"block {index + 1}: {theirs[-1]:.1f} and {ours[-1]:.1f} tokens a second", file=sys.stderr)

    answers_per_token = 60 * len(items) / tokens
    result: dict[str, Any] = {
        "answers": len(items),
        "length_min_median_mean_max": [drawn[0], statistics.median(drawn), tokens / len(drawn), drawn[-1]],
        "slots": backend.slots,
        "threads": options.threads,
        "one_at_a_time_answers": len(singles),
        "one_at_a_time_per_minute": answers_per_token * statistics.median(theirs),
        "slots_per_minute": answers_per_token * statistics.median(ours),
        "one_at_a_time_tokens_per_second": theirs,
        "slots_tokens_per_second": ours,
        "tokens": tokens,
        "plain_path": backend.note,
        "products": backend.decoder.products,
    }
    result["ratio"] = result["slots_per_minute"] / result["one_at_a_time_per_minute"]
    result["greedy"] = greedy_agreement(backend, items)
    low, middle, mean, high = result["length_min_median_mean_max"]
    print(f"{len(items)} answers, {low} to {high} tokens, median {middle:.0f}, mean {mean:.0f}, {tokens} in all")
    print(f"{len(singles)} of them one at a time")
    print(f"{options.threads} threads, {backend.slots} slots, groups of {len(grouped(items, backend.slots)[0])}")
    for name, per_minute in (("one at a time", "one_at_a_time_per_minute"), ("slots", "slots_per_minute")):
        rate = result[per_minute]
        print(f"{name:14} {rate:7.1f} answers a minute {rate * tokens / len(items) / 60:7.1f} tokens a second")
    print(f"ratio          {result['ratio']:7.1f}")
    print(result["greedy"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
