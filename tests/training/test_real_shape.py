"""Training at the shape of Qwen2.5-0.5B-Instruct with random weights: memory, exactness, and losses that move."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.training.resources import estimate_memory

REAL_DATA = os.environ.get("STANCE_REFERENCE_DATA", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not REAL_DATA, reason="STANCE_REFERENCE_DATA (real tokenizer and config) is not set"),
]

TRAIN = """
import json, resource, sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from epistemic_stance.chat import encode_pair
from epistemic_stance.memory import tune_allocator
from epistemic_stance.models.load import load_tokenizer
from epistemic_stance.settings import TrainSettings
from epistemic_stance.stance import load_stance_and_pairs
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.engine import Engine, make_optimizer, optimizer_step
from epistemic_stance.training.packing import choose_forward, packed_logps, plain_logps
from epistemic_stance.training.reference import compute_reference
from epistemic_stance.training.resources import largest_pass

tune_allocator()
folder = Path(sys.argv[1])
tokenizer = load_tokenizer(folder)
pairs = [encode_pair(tokenizer, pair) for pair in load_stance_and_pairs("epistemic")[1][:3]]
torch.manual_seed(0)
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32).eval()
forward = choose_forward(model, pairs)
with torch.no_grad():
    both = [logps(model, pairs) for logps in (packed_logps, plain_logps)]
packed, plain = ([*logps.chosen_B.tolist(), *logps.rejected_B.tolist()] for logps in both)
engine = Engine(
    model=model,
    forward=forward,
    objective=Objective("sigmoid", beta=0.1),
    reference=compute_reference(model, forward, pairs, torch.float32),
    optimizer=make_optimizer(model, TrainSettings()),
    batch_size=1,
    compute_dtype=torch.float32,
    max_grad_norm=1.0,
    scaler=None,
)
records = [optimizer_step(engine, [pairs[0]], 1, step, 1e-5) for step in (1, 2, 3)]
print(json.dumps({
    "packed": forward.packed,
    "packed_logps": packed,
    "plain_logps": plain,
    "losses": [record.loss for record in records],
    "gradient_norms": [record.grad_norm for record in records],
    "parameters": sum(parameter.numel() for parameter in model.parameters()),
    "tokens": largest_pass(pairs, 1),
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
}))
"""


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """Three optimizer steps on one pair, in a process of their own so that peak memory is theirs."""
    command = [sys.executable, "-c", TRAIN, str(Path(REAL_DATA) / "qwen2.5-0.5b-instruct")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    results: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return results


def test_the_packed_step_is_taken_and_equals_plain_forwards(trained: dict[str, Any]) -> None:
    assert trained["packed"]
    assert trained["packed_logps"] == pytest.approx(trained["plain_logps"], rel=1e-4)


def test_the_first_loss_is_ln_2_and_training_on_one_pair_lowers_it(trained: dict[str, Any]) -> None:
    first, second, third = trained["losses"]
    assert first == pytest.approx(math.log(2), abs=1e-6)
    assert first > second > third > 0
    assert all(0 < norm < math.inf for norm in trained["gradient_norms"])


def test_peak_memory_fits_a_12_gb_machine_and_the_estimate(trained: dict[str, Any]) -> None:
    import torch
    from transformers import AutoConfig

    tokens, answers = trained["tokens"]
    estimate = estimate_memory(
        trained["parameters"],
        trained["parameters"],
        config=AutoConfig.from_pretrained(Path(REAL_DATA) / "qwen2.5-0.5b-instruct"),
        packed_tokens=tokens,
        answer_tokens=answers,
        compute_dtype=torch.float32,
    )
    assert trained["peak_bytes"] < 12e9
    assert estimate.total == pytest.approx(trained["peak_bytes"], rel=0.15)
