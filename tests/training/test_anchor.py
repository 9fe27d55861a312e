"""The anchor: its term by hand, its gradient, whose turn it is, its answers, and runs that are trained with one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from small_run import at_step, epochs_of, run, small_settings, terminate
from tiny import tiny_encoded, tiny_model

from epistemic_stance.foundation.errors import InputError, NumericError, RefusedError, StoppedError
from epistemic_stance.foundation.reporter import Started
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import AnchorAnswer, AnchorAnswers
from epistemic_stance.stance.load import ANCHOR_PROMPTS
from epistemic_stance.training.anchor import in_passes
from epistemic_stance.training.dpo import Objective, anchor_term
from epistemic_stance.training.engine import Anchor, Engine, make_optimizer, optimizer_step
from epistemic_stance.training.packing import PairForward, answer_logps, choose_forward
from epistemic_stance.training.prepare import Job, read_inputs
from epistemic_stance.training.reference import compute_reference

PAIRS = tiny_encoded(5)
OBJECTIVE = Objective("sigmoid", beta=0.1, anchor_weight=0.5)
PLAIN = PairForward(False, "", None)


def answer(prompt_ids: list[int], answer_ids: list[int]) -> AnchorAnswer:
    base_logps = [-1.0] * len(answer_ids)
    return AnchorAnswer(prompt="p", answer="a", prompt_ids=prompt_ids, answer_ids=answer_ids, base_logps=base_logps)


ANSWERS = [answer([7, 8, 9], [10, 11]), answer([20, 21], [22, 23, 24, 25, 26]), answer([30], [31])]


def engine_for(model: Any, **changes: Any) -> Engine:
    forward = choose_forward(model, PAIRS)
    engine = Engine(
        model=model,
        forward=forward,
        objective=OBJECTIVE,
        reference=compute_reference(model, forward, PAIRS, torch.float32),
        optimizer=make_optimizer(model, TrainSettings()),
        batch_size=len(PAIRS),
        compute_dtype=torch.float32,
        max_grad_norm=0.0,
        scaler=None,
        anchor=Anchor(ANSWERS, per_step=5),
    )
    return replace(engine, **changes)


# --- the term ----------------------------------------------------------------------------------------------


def test_term_by_hand() -> None:
    """Answers of 2 and 3 tokens: -(-1 - 2) - (-0.5 - 1.5 - 3) = 8 nats over 5 tokens, halved by the weight."""
    first = anchor_term(torch.tensor([-1.0, -2.0]), 5, OBJECTIVE)
    second = anchor_term(torch.tensor([-0.5, -1.5, -3.0]), 5, OBJECTIVE)
    assert (first + second).item() == pytest.approx(0.5 * 1.6)


def test_its_gradient_is_in_expectation_that_of_the_kl() -> None:
    """All answers of one token: the sum over q of the NLL's gradient against autograd of KL(q || p)."""
    logits_V = torch.tensor([0.3, -1.0, 0.8, 0.1], requires_grad=True)
    q_V = torch.tensor([0.1, 0.2, 0.3, 0.4])
    kl = (q_V * (q_V.log() - logits_V.log_softmax(-1))).sum()
    (expected,) = torch.autograd.grad(kl, logits_V)
    terms = [
        anchor_term(logits_V.log_softmax(-1)[token : token + 1], 1, replace(OBJECTIVE, anchor_weight=1.0))
        for token in range(4)
    ]
    gradients = [torch.autograd.grad(term, logits_V)[0] for term in terms]
    mean = sum(weight * gradient for weight, gradient in zip(q_V, gradients, strict=True))
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("family", ["qwen2", "bloom"])
def test_gradient_of_a_step_is_that_of_the_separate_terms(family: str) -> None:
    """Packed and plain models, against autograd of the anchor alone added to a step without one."""
    model = tiny_model(family)
    without = engine_for(model, anchor=None)
    optimizer_step(without, PAIRS, 1, 1, 0.0)
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    logps = [answer_logps(model, ANSWERS[index].prompt_ids, ANSWERS[index].answer_ids) for index in (0, 1, 2, 0, 1)]
    nll = -torch.cat(logps).mean()
    gradients = torch.autograd.grad(nll, list(model.parameters()))
    expected = [a + 0.5 * b for a, b in zip(expected, gradients, strict=True)]
    record = optimizer_step(engine_for(model), PAIRS, 1, 1, 0.0)
    assert record.anchor_nll == pytest.approx(nll.item(), rel=1e-5)
    assert record.anchor_base_nll == 1.0
    assert record.loss == pytest.approx(math.log(2), abs=1e-5), "the anchor is no part of the pairs' loss"
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, value, rtol=1e-4, atol=1e-5 * value.abs().max().item())


def test_update_does_not_depend_on_the_split() -> None:
    records = [optimizer_step(engine_for(tiny_model("qwen2"), batch_size=size), PAIRS, 1, 1, 0.0) for size in (1, 2, 5)]
    assert records[0].anchor_nll == records[1].anchor_nll == records[2].anchor_nll
    for record in records[1:]:
        assert record.grad_norm == pytest.approx(records[0].grad_norm, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_a_loss_scale(dtype: torch.dtype) -> None:
    full = optimizer_step(engine_for(tiny_model("qwen2")), PAIRS, 1, 1, 1e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    half = optimizer_step(engine_for(tiny_model("qwen2"), compute_dtype=dtype, scaler=scaler), PAIRS, 1, 1, 1e-4)
    assert half.anchor_nll == pytest.approx(full.anchor_nll, rel=2e-2)
    assert half.grad_norm == pytest.approx(full.grad_norm, rel=0.1)


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    engine = engine_for(tiny_model("llama"))
    with torch.no_grad():
        engine.model.model.embed_tokens.weight[22].fill_(math.nan)  # in an anchor answer, in no pair
    pairs = [replace(pair, prompt_ids=[9], chosen_ids=[10, 11], rejected_ids=[12]) for pair in PAIRS]
    with pytest.raises(NumericError, match="anchor is not finite at step 1"):
        optimizer_step(engine, pairs, 1, 1, 1e-3)
    assert not engine.optimizer.state


def test_whose_turn_it_is_depends_on_the_step_alone() -> None:
    """Five answers in threes: 0 1 2, 3 4 0, 1 2 3, 4 0 1; a step of one pair takes the first of its turn."""
    answers = [answer([1], [index]) for index in range(5)]
    anchor = Anchor(answers, per_step=3)
    turns = [[taken.answer_ids[0] for taken in anchor.of_step(step, 3)] for step in (1, 2, 3, 4)]
    assert turns == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]
    assert anchor.of_step(4, 1) == answers[4:]
    assert [taken.answer_ids[0] for taken in anchor.of_step(1, 7)] == [0, 1, 2, 3, 4, 0, 1]


def test_every_prompt_has_its_turn_before_any_has_a_second() -> None:
    answers = [answer([prompt], [draw]) for draw in range(3) for prompt in range(4)]
    passes = in_passes(answers, 4, seed=0)
    for draw in range(3):
        part = passes[4 * draw : 4 * draw + 4]
        assert sorted(kept.prompt_ids[0] for kept in part) == [0, 1, 2, 3]
        assert {kept.answer_ids[0] for kept in part} == {draw}
    assert passes == in_passes(answers, 4, seed=0)
    assert passes != in_passes(answers, 4, seed=1)


# --- runs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return replace(small_settings(tmp_path_factory.mktemp("made")), anchor_weight=0.5)


@pytest.fixture
def settings(made: TrainSettings, tmp_path: Path) -> TrainSettings:
    return replace(made, output_dir=tmp_path / "run")


@pytest.fixture(scope="module")
def finished(made: TrainSettings) -> RunFolder:
    return run(made)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.checkpoint(3) / "model.safetensors")


def same(first: RunFolder, second: RunFolder) -> bool:
    left, right = weights(first), weights(second)
    return all(torch.equal(left[name], right[name]) for name in left)


def anchor_answers(folder: RunFolder) -> list[AnchorAnswer]:
    return AnchorAnswers.model_validate_json(folder.anchor_answers.read_bytes()).answers


def test_the_answers_are_the_bases_own_and_cut(finished: RunFolder, made: TrainSettings) -> None:
    answers = anchor_answers(finished)
    prompts = ANCHOR_PROMPTS.read_text().splitlines()
    assert len(answers) > len(prompts) == 34
    assert [kept.prompt for kept in answers] == prompts * (len(answers) // 34)
    assert answers[0].answer_ids != answers[34].answer_ids, "the second draw is another answer"
    assert all(1 <= len(kept.answer_ids) <= 65 for kept in answers)
    model = tiny_model("qwen2")
    for kept in answers[:3]:
        logps = answer_logps(model, kept.prompt_ids, kept.answer_ids).tolist()
        assert kept.base_logps == pytest.approx(logps, abs=1e-3)


def test_other_seeds_draw_other_answers(finished: RunFolder, settings: TrainSettings) -> None:
    other = run(replace(settings, seed=1, epochs=1))
    pairs = list(zip(anchor_answers(other), anchor_answers(finished), strict=False))
    assert len(pairs) >= 34
    assert sum(a.answer_ids != b.answer_ids for a, b in pairs) > 0.9 * len(pairs)


@pytest.mark.parametrize(("steps", "draws"), [(1, 1), (34, 1), (35, 2), (200, 6), (5000, 8)])
def test_there_are_answers_enough_for_every_step_to_take_new_ones(steps: int, draws: int) -> None:
    job = mock.Mock(total_steps=steps, pairs_per_step=1, anchor_prompts=[None] * 34)
    assert Job.anchor_draws.__get__(job) == draws


def test_every_step_and_epoch_logs_it_beside_its_value_at_step_0(finished: RunFolder) -> None:
    steps = [json.loads(line) for line in finished.steps_log.read_text().splitlines()]
    assert steps[0]["anchor_nll"] == pytest.approx(steps[0]["anchor_base_nll"], rel=1e-5)
    assert steps[1]["anchor_nll"] != pytest.approx(steps[1]["anchor_base_nll"], rel=1e-5)
    epochs = epochs_of(finished)
    for name in ("anchor_nll", "anchor_base_nll"):
        assert epochs[0][name] == pytest.approx(sum(step[name] for step in steps[:3]) / 3)


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4}])
def test_stopped_and_resumed_equals_uninterrupted(
    changes: dict[str, Any], settings: TrainSettings, tmp_path: Path, finished: RunFolder
) -> None:
    settings = replace(settings, **changes)
    whole = run(replace(settings, output_dir=tmp_path / "whole")) if changes else finished
    with pytest.raises(StoppedError):
        run(settings, at_step(4, terminate))
    resumed = run(replace(settings, resume=True))
    assert same(resumed, whole)
    assert resumed.steps_log.read_bytes() == whole.steps_log.read_bytes()
    assert resumed.anchor_answers.read_bytes() == whole.anchor_answers.read_bytes()


def test_a_resumed_run_reads_its_answers_back(settings: TrainSettings, finished: RunFolder) -> None:
    with pytest.raises(StoppedError):
        run(settings, at_step(4, terminate))
    folder = RunFolder(settings.output_dir)
    answers = anchor_answers(folder)
    folder.anchor_answers.write_text(AnchorAnswers(answers=answers[::-1]).model_dump_json())
    assert not same(run(replace(settings, resume=True)), finished)


def test_another_list_of_prompts_is_another_run(
    settings: TrainSettings,
) -> None:
    with pytest.raises(StoppedError):
        run(settings, at_step(2, terminate))
    with pytest.raises(RefusedError, match=r"--anchor-weight: was 0\.5, is 0\.0"):
        run(replace(settings, resume=True, anchor_weight=0.0))
    folder = RunFolder(settings.output_dir)
    record = folder.record()
    assert record is not None
    record.anchor_digest = "of another list"
    folder.write_record(record)
    with pytest.raises(RefusedError, match="anchor_digest: was of another list"):
        run(replace(settings, resume=True))


def test_without_a_weight_nothing_is_drawn_and_with_one_training_differs(
    settings: TrainSettings, finished: RunFolder
) -> None:
    plain = run(replace(settings, anchor_weight=0.0))
    assert not plain.anchor_answers.exists()
    assert epochs_of(plain)[0]["anchor_nll"] is None
    assert not same(plain, finished)


def test_without_checkpoint_evaluation_there_is_an_anchor_too(settings: TrainSettings) -> None:
    events: list[Any] = []
    folder = run(replace(settings, eval_questions=0, epochs=1), events.append)
    assert epochs_of(folder)[0]["anchor_nll"] > 0
    (header,) = [event for event in events if isinstance(event, Started)]
    rows = dict(header.rows)
    assert rows["objective"].endswith("anchor weight 0.5")
    assert rows["anchor"].startswith("34 answers of the base model")
    assert "of them base answers" in rows["time"]


def test_the_anchor_holds_the_base(settings: TrainSettings, tmp_path: Path) -> None:
    """After the same 12 epochs the base's answers are likelier with an anchor than without."""
    long = replace(settings, epochs=12, eval_questions=0, checkpoint_every=12)
    held = run(replace(long, anchor_weight=5.0))
    watched = run(replace(long, anchor_weight=1e-9, output_dir=tmp_path / "watched"))
    last = [epochs_of(folder)[-1] for folder in (held, watched)]
    rises = [epoch["anchor_nll"] - epoch["anchor_base_nll"] for epoch in last]
    assert rises[0] < rises[1]


def test_a_weight_below_0_is_refused(settings: TrainSettings) -> None:
    with pytest.raises(InputError, match="--anchor-weight"):
        read_inputs(replace(settings, anchor_weight=-1.0))
