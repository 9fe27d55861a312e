"""What `stance check` measures and what a run computes before its first step are one thing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_run import epochs_of, run, small_settings

from epistemic_stance.cli.check import run_check
from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.foundation.reporter import Event, Warned
from epistemic_stance.foundation.settings import CheckSettings
from epistemic_stance.models.chat_template import encode_pair
from epistemic_stance.models.load import load_tokenizer
from epistemic_stance.stance.check_likelihood import check_likelihoods, pair_likelihoods
from epistemic_stance.stance.load import load_pairs
from epistemic_stance.training.reference import measure_reference


def test_check_measures_what_step_0_sees_and_both_warn_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An epoch of one step: its pairs are all measured before the first update."""
    settings = replace(small_settings(tmp_path), epochs=1, checkpoint_every=1, batch_size=9, gradient_accumulation=1)
    assert settings.corpus is not None
    pairs = load_pairs(settings.corpus)
    tokenizer = load_tokenizer(Path(settings.model))
    encoded = [encode_pair(tokenizer, pair) for pair in pairs]
    counted: list[int] = []
    measured = measure_reference(Path(settings.model), encoded, "cpu", counted.append)
    likelihoods = pair_likelihoods(pairs, encoded, measured)
    assert counted == list(range(1, 10))

    events: list[Event] = []
    folder = run(settings, events.append)
    reference = json.loads(folder.reference.read_text())["logps"]
    assert {name: tuple(logps) for name, logps in reference.items()} == measured
    (epoch,) = epochs_of(folder)
    mean = sum(likelihood.chosen for likelihood in likelihoods) / len(likelihoods)
    assert mean == pytest.approx(-epoch["chosen_nll"], rel=1e-5)

    (finding,) = check_likelihoods(likelihoods)  # random weights: no answer is likely
    assert Warned(str(finding.problem)) in events
    run_check(CheckSettings(corpus=settings.corpus, model=settings.model, device="cpu"))
    shown = capsys.readouterr().out
    assert f"warning: {finding.problem}" in shown
    assert f"mean {mean:.2f} (" in shown


def test_weights_that_are_not_finite_are_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny import tiny_model

    broken = tiny_model("qwen2")
    broken.lm_head.weight.data[0, 0] = float("nan")
    monkeypatch.setattr("epistemic_stance.training.reference.load_model", lambda *_: broken)
    with pytest.raises(NumericError, match="not finite before training"):
        measure_reference(tmp_path, [], "cpu", lambda _: None)
