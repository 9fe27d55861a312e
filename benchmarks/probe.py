"""How long `stance probe` takes: the embedded model's 20 checkpoints, and one checkpoint of the 0.5B shape.

    python benchmarks/probe.py [--run RUN] [--threads 2] [--json out.json]
    STANCE_REFERENCE_DATA=... python benchmarks/probe.py --real-shape [--checkpoints 2] [--choices 60]

The first times a whole process, imports included, over a run folder; without --run it trains one first. The second
writes a model of the shape of Qwen2.5-0.5B-Instruct with random weights in bfloat16, and copies of it with a little
noise, to a temporary folder (1 GB each), probes them, and extrapolates from the fastest to twenty: the comparison of
packed and plain forwards, the base model and the imports are paid once. Beside the time stand the floating point
operations of the matrix products, two for each weight and token, and the rate that the time makes of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROBE = """
import json, os, sys
os.environ["TRANSFORMERS_VERBOSITY"], os.environ["TOKENIZERS_PARALLELISM"] = "error", "false"
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import ProbeSettings
from epistemic_stance.probing.run import run
asked = json.loads(sys.argv[1])
probes = run(ProbeSettings(overwrite=True, **asked), silent)
print(json.dumps({name: record.seconds for name, record in probes.records.items()}))
"""
TRAIN = ["--epochs=20", "--checkpoint-every=1", "--learning-rate=3e-4", "--nll-weight=0.2", "--lr-schedule=constant"]
RUN_OF = 20


def timed(**asked: Any) -> tuple[float, dict[str, float]]:
    """Seconds of a whole process, and those of each model in it."""
    started = time.perf_counter()
    command = [sys.executable, "-c", PROBE, json.dumps(asked)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, json.loads(ran.stdout.splitlines()[-1])


def demo_checkpoints(run: Path | None, threads: int, stance: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        if run is None:
            run = Path(temporary) / "run"
            train = ["train", "--model=demo", *TRAIN, f"--output-dir={run}"]
            subprocess.run(
                [sys.executable, "-m", "epistemic_stance.cli", *train], stdout=subprocess.DEVNULL, check=True
            )
        total, each = timed(target=str(run), threads=threads, stance=stance)
    return {"models": len(each), "seconds": round(total, 1), "each": each}


def real_shape(checkpoints: int, choices: int, threads: int, stance: str) -> dict[str, Any]:
    root = os.environ.get("STANCE_REFERENCE_DATA")
    if not root:
        sys.exit("set STANCE_REFERENCE_DATA to the folder that holds qwen2.5-0.5b-instruct (config and tokenizer)")
    source = Path(root) / "qwen2.5-0.5b-instruct"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        flops = write_models(source, folder, checkpoints, choices, stance)
        total, each = timed(
            target=str(folder / "run"), base=str(folder / "base"), threads=threads, choices=choices, stance=stance
        )
    one = min(seconds for name, seconds in each.items() if name != "base")
    once = total - sum(seconds for name, seconds in each.items() if name != "base")
    return {
        "seconds_once": round(once, 1),
        "seconds_of_a_checkpoint": one,
        "twenty_checkpoints": round(once + RUN_OF * one, 1),
        "tflop_of_a_checkpoint": round(flops / 1e12, 2),
        "gflop_per_second": round(flops / one / 1e9),
        "each": each,
    }


def write_models(source: Path, folder: Path, checkpoints: int, choices: int, stance: str) -> float:
    """Base and checkpoints; returns the floating point operations that probing one of them takes."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from epistemic_stance.models.find import ModelFiles
    from epistemic_stance.models.load import load_tokenizer
    from epistemic_stance.probing.forward import shared_beginning
    from epistemic_stance.probing.material import read_material
    from epistemic_stance.probing.measure import encode
    from epistemic_stance.stance.load import load_stance

    config = AutoConfig.from_pretrained(source)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).bfloat16()
    targets = [folder / "base"]
    targets += [folder / "run" / "checkpoints" / f"checkpoint-{number:03d}" for number in range(1, checkpoints + 1)]
    for target in targets:
        model.save_pretrained(target)
        load_tokenizer(source).save_pretrained(target)
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight.mul_(1.01)
    head = config.vocab_size * config.hidden_size
    body = sum(parameter.numel() for parameter in model.parameters()) - head
    encoded = encode(ModelFiles("", targets[0]), read_material(load_stance(stance), choices), None)
    shared = shared_beginning([item.prompt_ids for item in encoded.requests])
    text = sum(len(ids) - 1 for ids in encoded.paragraphs)
    branches = sum(len(answer) - 1 for item in encoded.requests for answer in item.answers)
    prompts = sum(len(item.prompt_ids) - shared for item in encoded.requests)
    flops: float = 2.0 * (
        body * (shared + prompts + branches + text) + head * (len(encoded.requests) + branches + text)
    )
    return flops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-shape", action="store_true")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--choices", type=int, default=60)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--stance", default="epistemic")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.real_shape:
        found = real_shape(asked.checkpoints, asked.choices, asked.threads, asked.stance)
    else:
        found = demo_checkpoints(asked.run, asked.threads, asked.stance)
    found["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
