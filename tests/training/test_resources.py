"""Memory and disk estimates by hand arithmetic, limits of containers, and what a refusal says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from tiny import save_tiny, tiny_model
from transformers import Qwen2Config

from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.models import memory as machine_memory
from epistemic_stance.models.load import load_config
from epistemic_stance.models.memory import available_memory
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.stance.anchor_prompts import EncodedPrompt
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training import resources
from epistemic_stance.training.lora import add_lora
from epistemic_stance.training.resources import (
    MEMORY_MARGIN,
    Alternative,
    Counts,
    MemoryEstimate,
    check_resources,
    count_parameters,
    estimate_disk,
    estimate_memory,
    free_disk,
    largest_pass,
    require_disk,
    require_memory,
    used_disk,
)

CONFIG = Qwen2Config(num_hidden_layers=2, hidden_size=10, intermediate_size=20, vocab_size=100, num_attention_heads=1)


def pair(prompt: int, chosen: int, rejected: int) -> EncodedPair:
    return EncodedPair("p", [0] * prompt, [0] * chosen, [0] * rejected)


def test_memory_of_full_training_is_sixteen_bytes_a_parameter_and_the_activations_and_a_margin() -> None:
    estimate = estimate_memory(1000, 1000, config=CONFIG, packed_tokens=7, answer_tokens=5, compute_dtype=torch.float32)
    hidden = 2 * (40 * 10 + 16 * 20) * 7
    logits = 3 * 4 * 100 * 5
    assert estimate == MemoryEstimate(4000, 4000, 8000, hidden + logits)
    assert estimate.total == round(1.15 * (16_000 + 10_080 + 6_000 + resources.RUNTIME_BYTES))


def test_adapters_have_gradients_and_moments_and_half_precision_adds_cast_weights() -> None:
    numbers = {"config": CONFIG, "packed_tokens": 7, "answer_tokens": 5}
    full = estimate_memory(1000, 1000, compute_dtype=torch.float32, **numbers)
    adapters = estimate_memory(1100, 100, compute_dtype=torch.float32, **numbers)
    assert (adapters.weights, adapters.gradients, adapters.optimizer) == (4400, 400, 800)
    half = estimate_memory(1000, 1000, compute_dtype=torch.bfloat16, **numbers)
    assert half.activations - full.activations == 2 * 1000


def estimate_of(size: int) -> MemoryEstimate:
    """An estimate whose total, margin included, is `size`."""
    return MemoryEstimate(round(size / MEMORY_MARGIN), 0, 0, 0, runtime=0)


def test_a_run_that_just_fits_is_not_refused() -> None:
    require_memory(estimate_of(100), 100, "cpu")
    with pytest.raises(RefusedError):
        require_memory(estimate_of(101), 100, "cpu")


def test_a_refusal_lists_only_what_fits_in_the_given_order() -> None:
    alternatives = [
        Alternative("--device cpu", estimate_of(8 * 2**30), 9 * 2**30),
        Alternative("--lora-rank 16", estimate_of(7 * 2**30), 6 * 2**30),
        Alternative("--batch-size 1", estimate_of(5 * 2**30), 6 * 2**30),
    ]
    with pytest.raises(RefusedError, match=r"needs about 8.0 GiB of memory on cuda .* and 6.0 GiB are available") as e:
        require_memory(estimate_of(8 * 2**30), 6 * 2**30, "cuda", alternatives)
    assert e.value.exit_code == 3
    assert e.value.hint == "--device cpu needs about 8.0 GiB; --batch-size 1 needs about 5.0 GiB"


def test_a_refusal_without_a_way_out_says_so() -> None:
    with pytest.raises(RefusedError) as e:
        require_memory(estimate_of(200), 100, "cpu", [Alternative("--lora-rank 16", estimate_of(200), 100)])
    assert "nothing this command offers fits" in e.value.hint


@pytest.mark.parametrize(
    ("limit", "usage", "stat", "room"),
    [
        ("1000\n", "600\n", "anon 500\ninactive_file 50\n", 450),
        ("1000\n", "1200\n", "inactive_file 0\n", 0),
        ("max\n", "600\n", "inactive_file 50\n", None),
        (f"{2**63 - 4096}\n", "600\n", "inactive_file 50\n", None),
    ],
)
def test_memory_is_bounded_by_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, usage: str, stat: str, room: int | None
) -> None:
    files = tuple(tmp_path / name for name in ("limit", "usage", "stat"))
    for path, text in zip(files, (limit, usage, stat), strict=True):
        path.write_text(text)
    machine = 10_000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=machine))
    monkeypatch.setattr(machine_memory, "CGROUP_FILES", [files, (tmp_path / "absent",) * 3])
    assert available_memory("cpu") == available_memory("mps") == (machine if room is None else room)


def test_memory_of_a_gpu_is_what_its_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3, 8))
    assert available_memory("cuda") == 3


def test_disk_counts_every_checkpoint_and_three_states() -> None:
    checkpoint = 1000 * 2 + resources.CHECKPOINT_EXTRA_BYTES
    assert estimate_disk(1000, 100, 20, torch.bfloat16) == 20 * checkpoint + 3 * 12 * 100


def test_disk_refusal_names_both_numbers(tmp_path: Path) -> None:
    require_disk(5, 5, tmp_path)
    with pytest.raises(RefusedError, match=r"needs 6 bytes .* and 5 .* are free"):
        require_disk(6, 5, tmp_path)


def test_free_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []

    def disk_usage(path: Path) -> SimpleNamespace:
        paths.append(path)
        return SimpleNamespace(free=42)

    monkeypatch.setattr(resources.shutil, "disk_usage", disk_usage)
    assert free_disk(tmp_path / "run" / "checkpoints") == 42
    assert paths == [tmp_path]


def test_used_disk_counts_hard_links_once_and_files_of_others_never(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for folder in (run.checkpoint(10), run.best, run.final, run.state, tmp_path / "photos"):
        folder.mkdir(parents=True)
    (run.checkpoint(10) / "file").write_bytes(b"12345")
    (run.best / "link").hardlink_to(run.checkpoint(10) / "file")
    (run.final / "link").hardlink_to(run.checkpoint(10) / "file")
    (run.state / "other").write_bytes(b"123")
    (tmp_path / "photos" / "foreign").write_bytes(b"1234567")
    (tmp_path / "foreign").write_bytes(b"1234567")
    assert used_disk(run) == 8
    assert used_disk(RunFolder(tmp_path / "absent")) == 0


def test_the_largest_pass_is_made_of_the_longest_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair(1, 2, 3), pair(10, 20, 30), pair(5, 6, 7)]
    assert largest_pass(pairs, 1) == (60, 50)
    assert largest_pass(pairs, 2) == (78, 63)
    monkeypatch.setattr(resources, "MAX_PACKED_TOKENS", 70)
    assert largest_pass(pairs, 3) == (60, 50)
    assert largest_pass([pair(100, 20, 30)], 3) == (150, 50), "a pair is never cut"


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "smollm"])
def test_counts_from_the_configuration_are_those_of_the_model(tmp_path: Path, family: str) -> None:
    folder = save_tiny(tmp_path / "model", family)
    counts = count_parameters(folder, load_config(folder))
    model = tiny_model(family)
    assert counts.with_lora(0) == (counts.parameters,) * 2
    assert counts.parameters == sum(parameter.numel() for parameter in model.parameters())
    add_lora(model, 4, seed=1)
    parameters = list(model.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    assert counts.with_lora(4) == (sum(p.numel() for p in parameters), sum(p.numel() for p in trainable))


@pytest.fixture
def job(tmp_path: Path) -> SimpleNamespace:
    folder = save_tiny(tmp_path / "model", "qwen2")
    return SimpleNamespace(
        settings=TrainSettings(output_dir=tmp_path / "run", batch_size=2),
        files=SimpleNamespace(folder=folder),
        config=load_config(folder),
        encoded=[pair(3, 4, 5), pair(6, 7, 8)],
        anchor_prompts=[],
        device="cpu",
        compute_dtype=torch.float32,
        save_dtype=torch.bfloat16,
        checkpoint_steps=dict.fromkeys((10, 20)),
    )


def test_a_job_that_fits_is_described(job: SimpleNamespace) -> None:
    checked = check_resources(job)
    assert checked.memory.weights == 4 * count_parameters(job.files.folder, job.config).parameters
    assert "available" in checked.memory_line()
    assert "free" in checked.disk_line()


def test_an_anchor_answer_may_be_the_largest_pass(job: SimpleNamespace) -> None:
    """A prompt of 9 tokens and 64 of answer, where the pairs have 33 tokens, 24 of them of answers."""
    without = check_resources(job).memory
    job.anchor_prompts = [EncodedPrompt("short", [0] * 3), EncodedPrompt("long", [0] * 9)]
    estimate = check_resources(job).memory
    arguments = {"config": job.config, "compute_dtype": torch.float32}
    parameters = count_parameters(job.files.folder, job.config).parameters
    assert without == estimate_memory(parameters, parameters, packed_tokens=33, answer_tokens=24, **arguments)
    assert estimate == estimate_memory(parameters, parameters, packed_tokens=73, answer_tokens=64, **arguments)


def test_a_job_too_large_for_memory_is_refused_with_what_fits(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = check_resources(job).memory.total
    monkeypatch.setattr(resources, "available_memory", lambda device: needed - 1)
    with pytest.raises(RefusedError) as e:
        check_resources(job)
    assert [hint.split(" needs")[0] for hint in e.value.hint.split("; ")] == ["--lora-rank 16", "--batch-size 1"]


def test_adapters_are_not_offered_to_a_model_that_cannot_have_them(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = check_resources(job).memory.total
    counts = count_parameters(job.files.folder, job.config)
    monkeypatch.setattr(resources, "available_memory", lambda device: needed - 1)
    monkeypatch.setattr(
        resources, "count_parameters", lambda folder, config: NoLinear(counts.config, counts.parameters, 0)
    )
    with pytest.raises(RefusedError) as e:
        check_resources(job)
    assert [hint.split(" needs")[0] for hint in e.value.hint.split("; ")] == ["--batch-size 1"]


class NoLinear(Counts):
    def with_lora(self, rank: int) -> tuple[int, int]:
        """Adapters that would save memory if there were something to put them on."""
        return self.parameters, self.parameters if rank == 0 else 1


def test_a_gpu_job_is_sent_to_the_cpu_only_if_that_has_room(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = check_resources(job).memory.total
    job.device = "cuda"
    room = {"cuda": 1, "cpu": needed}
    monkeypatch.setattr(resources, "available_memory", room.__getitem__)
    with pytest.raises(RefusedError) as e:
        check_resources(job)
    assert e.value.hint.startswith("--device cpu needs")
    assert "--lora-rank" not in e.value.hint
    room["cpu"] -= 1
    with pytest.raises(RefusedError, match="nothing this command offers fits"):
        check_resources(job)


def test_what_lies_in_the_run_folder_counts_as_free(job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = check_resources(job).disk_needed
    monkeypatch.setattr(resources, "free_disk", lambda path: needed - 10)
    with pytest.raises(RefusedError, match=f"needs {needed} bytes"):
        check_resources(job)
    old = RunFolder(job.settings.output_dir).checkpoints
    old.mkdir(parents=True)
    (old / "file").write_bytes(b"0123456789")
    check_resources(replace_settings(job))


def replace_settings(job: SimpleNamespace) -> SimpleNamespace:
    job.settings = replace(job.settings, resume=True)
    return job


FAULTS = """
import resource, sys
import torch
from epistemic_stance.models.memory import tune_allocator
if sys.argv[1] == "tuned":
    tune_allocator()
for _ in range(20):  # it takes some rounds until the heap has settled
    torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of Linux's glibc is what is tuned")
def test_the_tuned_allocator_does_not_fault_the_same_memory_in_again() -> None:
    faults = run_python(FAULTS)
    plain, tuned = faults("plain"), faults("tuned")
    assert tuned < plain / 100, f"{tuned} page faults for 64 MiB used before, {plain} without tuning"


def run_python(code: str) -> Callable[[str], int]:
    def run(argument: str) -> int:
        command = [sys.executable, "-c", code, argument]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return run
