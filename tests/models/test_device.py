"""What --device and --dtype resolve to on hardware that is pretended to be there."""

from __future__ import annotations

import pytest
import torch

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.models.device import choose_device, choose_dtype


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: bool = False, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_fastest_device_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == expected


def test_a_device_that_is_there_is_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=True, mps=True)
    assert [choose_device(name) for name in ("cpu", "mps", "cuda")] == ["cpu", "mps", "cuda"]


def test_an_absent_device_is_an_error_that_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, mps=True)
    with pytest.raises(InputError, match=r"--device: cuda .*there is: mps, cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_auto_dtype_on_cuda_follows_its_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_dtype("auto", "cuda") == expected


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_auto_dtype_elsewhere_is_float32(device: str) -> None:
    assert choose_dtype("auto", device) == torch.float32


def test_a_named_dtype_is_taken_as_asked() -> None:
    assert choose_dtype("bfloat16", "cpu") == torch.bfloat16
    assert choose_dtype("float16", "mps") == torch.float16
    assert choose_dtype("float32", "cuda") == torch.float32


def test_float16_on_a_cpu_is_an_error() -> None:
    with pytest.raises(InputError, match="--dtype: float16 needs a GPU"):
        choose_dtype("float16", "cpu")
