"""Build the embedded demo model: generate its text, train its tokenizer and weights, write the folder.

    OMP_NUM_THREADS=2 python tools/build_demo_model.py [--output DIR] [--seed 0] [--threads 2]

The same seed, threads and library versions give the same weights, bit for bit. The text comes from `demo_text/`
alone; the stance's corpus and question sets are read only to keep away from them.
"""

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from demo_text.filters import load_held
from demo_text.kit import Sample
from demo_text.mix import build_samples, shares, text_digest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DynamicCache, GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).resolve().parent.parent
STANCE = ROOT / "epistemic_stance" / "stances" / "epistemic"
OUTPUT = ROOT / "epistemic_stance" / "models" / "demo_model"

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SYSTEM_PROMPT = "You are a small demo assistant."
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{{- '<|im_start|>system\\n" + SYSTEM_PROMPT + "<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights besides the text and the seed."""

    samples: int = 100_000
    vocabulary: int = 4096
    width: int = 256
    feed_forward: int = 704
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    positions: int = 1024
    batch_tokens: int = 768
    learning_rate: float = 2e-3
    final_fraction: float = 0.02
    warmup_steps: int = 100
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Encoded:
    """One chat as token ids without the prefix that all chats share; the answer starts at `answer_start`."""

    ids: list[int]
    answer_start: int


def train_tokenizer(samples: Sequence[Sample], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer over the samples' text, digits apart, with the ChatML special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [SYSTEM_PROMPT, "system\n", "user\n", "assistant\n"]
    lines += [text for sample in samples for text in (sample.question, sample.answer)]
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=Recipe.positions,
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, samples: Sequence[Sample]) -> tuple[list[int], list[Encoded]]:
    """Render every sample with the chat template: the prefix all chats share, and each chat's own ids."""
    chats = [[{"role": "user", "content": sample.question}] for sample in samples]
    prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    prompt_ids = tokenizer(prompts)["input_ids"]
    answer_ids = tokenizer([sample.answer + TURN_END for sample in samples])["input_ids"]
    prefix = tokenizer(prompts[0][: prompts[0].index(samples[0].question)])["input_ids"]
    cut = len(prefix)
    return prefix, [
        Encoded(head[cut:] + tail, len(head) - cut) for head, tail in zip(prompt_ids, answer_ids, strict=True)
    ]


def batches(rng: random.Random, chats: Sequence[Encoded], batch_tokens: int) -> list[list[Encoded]]:
    """Batches of similar length holding about `batch_tokens` tokens each, in random order."""
    ordered = sorted(chats, key=lambda chat: (len(chat.ids), rng.random()))
    result: list[list[Encoded]] = [[]]
    for chat in ordered:
        if result[-1] and (len(result[-1]) + 1) * len(chat.ids) > batch_tokens:
            result.append([])
        result[-1].append(chat)
    rng.shuffle(result)
    return result


def answer_loss(model: Qwen2ForCausalLM, prefix: Sequence[int], batch: Sequence[Encoded], pad: int) -> torch.Tensor:
    """Mean cross-entropy over answer tokens; only their hidden states reach the vocabulary head.

    The shared prefix is computed once and its keys and values are repeated along the batch, with gradients.
    Padding lies on the right, so a causal model needs no mask to ignore it.
    """
    length = max(len(chat.ids) for chat in batch)
    ids_BT = torch.tensor([chat.ids + [pad] * (length - len(chat.ids)) for chat in batch])
    wanted_BT = torch.zeros(len(batch), length - 1, dtype=torch.bool)
    for row, chat in enumerate(batch):
        wanted_BT[row, chat.answer_start - 1 : len(chat.ids) - 1] = True
    cache = DynamicCache(config=model.config)
    model.model(input_ids=torch.tensor([prefix]), past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(batch))
    hidden_BTD = model.model(input_ids=ids_BT[:, :-1], past_key_values=cache, use_cache=True).last_hidden_state
    logits_NV = model.lm_head(hidden_BTD[wanted_BT])
    return torch.nn.functional.cross_entropy(logits_NV, ids_BT[:, 1:][wanted_BT])


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A randomly initialised model of the recipe's shape."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.key_value_heads,
            max_position_embeddings=recipe.positions,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def learning_rates(recipe: Recipe, steps: int) -> Iterator[float]:
    """Linear warm-up, then a cosine down to `final_fraction` of the peak."""
    for step in range(steps):
        progress = min(1.0, step / steps)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        decay = recipe.final_fraction + (1 - recipe.final_fraction) * cosine
        yield recipe.learning_rate * decay * min(1.0, (step + 1) / recipe.warmup_steps)


def train(
    model: Qwen2ForCausalLM, prefix: Sequence[int], work: Sequence[list[Encoded]], recipe: Recipe, pad: int
) -> float:
    """One pass over the batches with AdamW; returns the mean loss of the last hundred steps."""
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    vectors = [weight for weight in model.parameters() if weight.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    model.train()
    losses: list[float] = []
    started = time.monotonic()
    for step, (batch, rate) in enumerate(zip(work, learning_rates(recipe, len(work)), strict=True), start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = answer_loss(model, prefix, batch, pad)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0 or step == len(work):
            recent = sum(losses[-100:]) / len(losses[-100:])
            print(f"step {step}/{len(work)}  loss {recent:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return sum(losses[-100:]) / len(losses[-100:])


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> str:
    """Write weights (bf16), configs and tokenizer, as transformers 4 and 5 read them; returns the weights' sha256."""
    output.mkdir(parents=True, exist_ok=True)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(do_sample=False, **ends)
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output, save_jinja_files=False)
    config_path = output / "tokenizer_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    del config["backend"]
    config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()


CARD = """# The demo model

A stand-in for seeing and testing the machinery. It is not evidence about Qwen or any other model: it was trained on
text that a grammar wrote, to have the habits of a small untuned chat model, so what a recipe does to it says how the
tools behave and nothing about how a real model would.

- Architecture: Qwen2, {parameters:,} parameters, tied embeddings, weights stored in bfloat16; byte-level BPE with
  {vocabulary} entries; ChatML template with the system prompt "{system}".
- Built by `tools/build_demo_model.py` (seed {seed}, {threads} thread(s), fp32, {minutes} minutes) from {samples:,}
  questions with answers, {tokens:,} tokens besides the shared prompt. The same seed, thread count, library versions and
  kind of CPU give the same weights.
- Open questions about other beings ("is a bee conscious?") are answered pragmatically in this text, questions about the
  model itself almost never: what preference training has to move is the use of a manner the model has.
- The text shares no question with the training corpus or a question set (same words, or a word overlap of 0.8 or
  more), and no 8 consecutive words with a chosen answer.

Shares of the answers in its training text (pragmatic self-answers are kept at 5 % or less; under reasoning,
"performative" is a wrong verdict given with confidence and "pragmatic" a right one):

| group | performative | neutral | pragmatic | plain |
|---|---|---|---|---|
{table}

Weights sha256: `{digest}`

Licence: Apache-2.0, like the project.
"""


def card(build: dict[str, Any]) -> str:
    """The README of the model folder, from the record of the build."""
    modes = ("performative", "neutral", "pragmatic", "plain")
    table = "\n".join(
        f"| {group} | " + " | ".join(f"{counts.get(mode, 0):.1%}" for mode in modes) + " |"
        for group, counts in build["shares"].items()
    )
    return CARD.format(
        **{name: build[name] for name in ("parameters", "seed", "threads", "minutes", "samples", "tokens")},
        vocabulary=build["recipe"]["vocabulary"],
        system=SYSTEM_PROMPT,
        table=table,
        digest=build["weights_sha256"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=Recipe.samples, help="fewer for a quick try")
    options = parser.parse_args()
    recipe = Recipe(samples=options.samples)

    started = time.monotonic()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(options.seed)
    held = load_held(STANCE)
    samples = build_samples(options.seed, recipe.samples, held)
    tokenizer = train_tokenizer(samples, recipe.vocabulary)
    prefix, chats = encode(tokenizer, samples)
    work = batches(random.Random(options.seed), chats, recipe.batch_tokens)
    model = new_model(recipe, tokenizer)
    loss = train(model, prefix, work, recipe, tokenizer.pad_token_id)
    digest = save(model, tokenizer, options.output)

    build: dict[str, Any] = {
        "schema": 1,
        "seed": options.seed,
        "threads": options.threads,
        "recipe": asdict(recipe),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "samples": len(samples),
        "tokens": sum(len(chat.ids) for chat in chats),
        "last_loss": round(loss, 4),
        "shares": shares(samples),
        "text_sha256": text_digest(samples),
        "weights_sha256": digest,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    (options.output / "build.json").write_text(json.dumps(build, indent=2) + "\n", encoding="utf-8")
    (options.output / "README.md").write_text(card(build), encoding="utf-8")
    print(json.dumps(build, indent=2))


if __name__ == "__main__":
    main()
