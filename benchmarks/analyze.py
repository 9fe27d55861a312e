"""How long `stance analyze` takes and how much memory, on answers that are all different.

    taskset -c 0 python benchmarks/analyze.py [--answers 100000] [--keep answers.jsonl]

Answers are made from the examples of the stance's patterns and the answers of its corpus: 2 to 9 sentences each, drawn
at random, a word in twelve replaced by one of 400 others, so that few sentences and hardly two answers are alike. Some
70 words an answer, and more matches than a model's answers have; the questions are those of the stance, at four
temperatures. Each size runs as a fresh process through the command line, with start-up.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

from epistemic_stance.foundation.similarity import words
from epistemic_stance.scoring.patterns import example_of
from epistemic_stance.stance.load import Stance, load_pairs, load_stance

SMALL = 1340
TEMPERATURES = (0.3, 0.7, 1.0, 1.3)
REPLACED = 0.08
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def main(answers: int = 100_000, keep: Path | None = None, seed: int = 0) -> None:
    """Print seconds and peak memory for the small and the large file."""
    stance = load_stance("epistemic")
    with tempfile.TemporaryDirectory() as folder:
        for number in (SMALL, answers):
            file = (keep if number == answers else None) or Path(folder) / f"answers_{number}.jsonl"
            write_answers(file, stance, number, seed)
            seconds, busy, memory = measure(file, Path(folder) / "out")
            megabytes = file.stat().st_size / 1e6
            print(
                f"{number} answers ({megabytes:.1f} MB): {seconds:.2f} s, of them CPU {busy:.2f}; peak {memory:.0f} MB"
            )


def write_answers(file: Path, stance: Stance, number: int, seed: int) -> None:
    rng = random.Random(seed)
    sentences = sentences_of(stance)
    vocabulary = sorted({word for sentence in sentences for word in words(sentence)})
    vocabulary = rng.sample(vocabulary, min(400, len(vocabulary)))
    questions = [question for questions in stance.question_sets.values() for question in questions.questions]
    with file.open("w") as stream:
        for index in range(number):
            question = questions[index % len(questions)]
            chosen = rng.choices(sentences, k=rng.randint(2, 9))
            text = " ".join(varied(sentence, vocabulary, rng) for sentence in chosen)
            row = {
                "question": question.text,
                "category": question.category,
                "question_id": question.id,
                "response": text,
                "temperature": TEMPERATURES[index // len(questions) % len(TEMPERATURES)],
                "iteration": index // len(questions) // len(TEMPERATURES) + 1,
                "finish_reason": rng.choice(("eos", "eos", "length")),
            }
            stream.write(json.dumps(row) + "\n")


def sentences_of(stance: Stance) -> list[str]:
    patterns = [pattern for source in stance.patterns for pattern in source.file.patterns]
    texts = [example_of(example).text for pattern in patterns for example in (*pattern.hits, *pattern.misses)]
    texts += [text for pair in load_pairs(stance.corpus) for text in (pair.chosen, pair.rejected)]
    return [sentence for text in texts for sentence in SENTENCE_END.split(text) if sentence]


def varied(sentence: str, vocabulary: list[str], rng: random.Random) -> str:
    return " ".join(rng.choice(vocabulary) if rng.random() < REPLACED else word for word in sentence.split(" "))


def measure(file: Path, output: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak resident megabytes of `stance analyze` as a process of its own."""
    command = [sys.executable, "-m", "epistemic_stance.cli", "analyze", str(file), "--output", str(output)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"stance analyze ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


if __name__ == "__main__":
    typer.run(main)
