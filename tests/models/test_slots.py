"""Answers in slots are the answers each prompt gets alone: same tokens, whatever shares the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FACTS, PACKED_FAMILIES, VOCABULARY, tiny_model, tiny_tokenizer
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.models import slots as slots_module
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.models.sampling import choose_tokens, draw, kept_by_top_k, kept_by_top_p, penalised
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request, decode, uniforms_of

TOKENIZER = tiny_tokenizer()
QUESTIONS = ["Why?", *(question for question, _, _ in FACTS[:4]), "Is the tide lower than the old tower is tall?"]
PROMPTS = [tuple(encode_question(TOKENIZER, question)) for question in QUESTIONS]
PLAIN = SamplingConfig(12, 1.0, 0, 1.0)
NEVER = {VOCABULARY}
WINDOWED = {
    "gemma2": {"sliding_window": 16},
    "gemma3": {"sliding_window": 16},
    "mistral": {"sliding_window": 16},
    "qwen2": {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1},
}


def requests(count: int, *, limit: int = 12, temperature: float = 0.0) -> list[Request]:
    return [Request(PROMPTS[index % len(PROMPTS)], temperature, index, limit) for index in range(count)]


def greedy_alone(model: Any, request: Request, stop_ids: set[int] = NEVER) -> list[int]:
    [answer] = generate_batch(model, [request.prompt_ids], stop_ids=stop_ids, max_new_tokens=request.max_new_tokens)
    return answer.token_ids


def sampled_alone(model: Any, request: Request, sampling: SamplingConfig, stop_ids: set[int]) -> Finished:
    """One answer, one whole forward pass a token: no cache, no batch, transformers' own processors."""
    processors = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if request.temperature > 0:
        processors.append(TemperatureLogitsWarper(request.temperature))
        if sampling.top_k:
            processors.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            processors.append(TopPLogitsWarper(sampling.top_p))
    ids = list(request.prompt_ids)
    for uniform in torch.rand(request.max_new_tokens, generator=torch.Generator().manual_seed(request.seed)).tolist():
        with torch.no_grad():
            scores_V = processors(torch.tensor([ids]), model(torch.tensor([ids])).logits[:, -1])[0]
        if request.temperature == 0:
            token = int(scores_V.argmax())
        else:
            cumulative_V = scores_V.double().softmax(0).cumsum(0)
            token = int((cumulative_V <= uniform * cumulative_V[-1]).sum())
        if token in stop_ids:
            return Finished(ids[len(request.prompt_ids) :], token, 0.0)
        ids.append(token)
    return Finished(ids[len(request.prompt_ids) :], None, 0.0)


@pytest.mark.parametrize("family", PACKED_FAMILIES)
def test_greedy_answers_equal_generate_one_at_a_time(family: str) -> None:
    """Nine answers of two lengths in four slots: refilled, moved, shrunk."""
    model = tiny_model(family)
    asked = [*requests(6), *requests(3, limit=5)]
    found = decode(model, asked, slots=4, stop_ids=NEVER, sampling=PLAIN)
    assert [answer.token_ids for answer in found] == [greedy_alone(model, request) for request in asked]


@pytest.mark.parametrize("family", WINDOWED)
def test_a_sliding_window_hides_what_generate_hides(family: str) -> None:
    model, whole = tiny_model(family, **WINDOWED[family]), tiny_model(family)
    asked = requests(6, limit=20)
    found = decode(model, asked, slots=4, stop_ids=NEVER, sampling=PLAIN)
    expected = [greedy_alone(model, request) for request in asked]
    assert [answer.token_ids for answer in found] == expected
    assert expected != [greedy_alone(whole, request) for request in asked], "the window must matter here"


@pytest.mark.parametrize(
    "sampling",
    [PLAIN, SamplingConfig(12, 0.8, 0, 1.0), SamplingConfig(12, 1.0, 7, 1.0), SamplingConfig(12, 0.9, 20, 1.3)],
    ids=str,
)
def test_sampled_answers_equal_a_plain_loop_with_the_same_seeds(sampling: SamplingConfig) -> None:
    model = tiny_model("qwen2")
    temperatures = [0.3, 0.7, 1.0, 1.3, 0.0]
    asked = [Request(PROMPTS[index % 3], temperatures[index % 5], 100 + index, 12) for index in range(15)]
    stop_ids = set(range(60))
    found = decode(model, asked, slots=4, stop_ids=stop_ids, sampling=sampling)
    assert found == [sampled_alone(model, request, sampling, stop_ids) for request in asked]
    assert {answer.end_id is None for answer in found} == {True, False}
    assert len({tuple(answer.token_ids) for answer in found}) > 8


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.7, 1.3]), st.integers(1, 9)), min_size=1, max_size=9),
    st.integers(1, 5),
)
def test_an_answer_does_not_depend_on_its_neighbours(asked: list[tuple[int, float, int]], slots: int) -> None:
    model = tiny_model("llama").double()  # in float32 a draw at the edge of two tokens can fall either way
    wanted = [Request(PROMPTS[prompt], temperature, limit, limit) for prompt, temperature, limit in asked]
    together = decode(model, wanted, slots=slots, stop_ids={9, 11}, sampling=PLAIN)
    alone = [decode(model, [request], slots=1, stop_ids={9, 11}, sampling=PLAIN)[0] for request in wanted]
    assert together == alone


def test_a_slot_never_waits_and_no_dead_row_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits 9, 2, 2, 2, 3 in two slots. The first token comes with the prompt, so 8 + 1 + 1 + 1 + 2 row steps."""
    batches: list[int] = []
    forward = slots_module.forward

    def counted(model: Any, cache: Any, rows: Any) -> torch.Tensor:
        batches.append(len(rows))
        return forward(model, cache, rows)

    monkeypatch.setattr(slots_module, "forward", counted)
    asked = [Request(PROMPTS[0], 0.0, 0, limit) for limit in (9, 2, 2, 2, 3)]
    found = decode(tiny_model("qwen2"), asked, slots=2, stop_ids=NEVER, sampling=PLAIN)
    assert [len(answer.token_ids) for answer in found] == [9, 2, 2, 2, 3]
    assert batches == [2, 2, 2, 2, 2, 1, 1, 1]


def test_a_shared_prompt_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[tuple[int, ...]] = []
    prefill = slots_module.prefill

    def counted(model: Any, prompt_ids: Any) -> Any:
        computed.append(tuple(prompt_ids))
        return prefill(model, prompt_ids)

    monkeypatch.setattr(slots_module, "prefill", counted)
    asked = [Request(prompt, 0.7, seed, 4) for prompt in PROMPTS[:3] for seed in range(5)]
    decode(tiny_model("qwen2"), asked, slots=2, stop_ids=NEVER, sampling=PLAIN)
    assert computed == PROMPTS[:3]


def test_an_answer_that_ends_at_once_takes_no_slot() -> None:
    model = tiny_model("qwen2")
    first = greedy_alone(model, requests(1)[0])[0]
    calls: list[int] = []
    ask = requests(1)[0]
    found = decode(
        model, [ask, ask, ask], slots=2, stop_ids={first}, sampling=PLAIN, on_finished=lambda: calls.append(1)
    )
    assert found == [Finished([], first, 0.0)] * 3
    assert len(calls) == 3


def test_the_first_of_several_stop_tokens_ends_the_answer() -> None:
    model = tiny_model("qwen2")
    [ask] = requests(1)
    whole = greedy_alone(model, ask)
    stop_ids = {whole[5], whole[3], VOCABULARY}
    end = min(whole.index(whole[5]), whole.index(whole[3]))
    [found] = decode(model, [ask], slots=1, stop_ids=stop_ids, sampling=PLAIN)
    assert (found.token_ids, found.end_id) == (whole[:end], whole[end])


def test_layers_of_an_unknown_kind_are_refused() -> None:
    model = tiny_model("gemma3")
    model.config.layer_types = ["chunked_attention", "full_attention"]
    with pytest.raises(ValueError, match="chunked_attention"):
        slots_module.attention_mask(model, torch.tensor([3]), 4)


SCORES = st.lists(
    st.lists(st.floats(-8, 8, width=32), min_size=12, max_size=12, unique=True), min_size=1, max_size=4
).map(torch.tensor)


@given(SCORES, st.integers(1, 15), st.floats(0.05, 0.999), st.floats(0.5, 2.0))
def test_processors_are_those_of_transformers(scores_BV: Any, top_k: int, top_p: float, penalty: float) -> None:
    nothing = torch.zeros(len(scores_BV), 0, dtype=torch.long)
    seen = [[1, 4, 4], [0], [11, 2], [5]][: len(scores_BV)]
    assert torch.equal(kept_by_top_k(scores_BV, top_k), TopKLogitsWarper(top_k)(nothing, scores_BV))
    assert torch.equal(kept_by_top_p(scores_BV, top_p), TopPLogitsWarper(top_p)(nothing, scores_BV))
    for row, ids in enumerate(seen):
        expected_1V = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([ids]), scores_BV[row : row + 1])
        assert torch.equal(penalised(scores_BV, seen, penalty)[row : row + 1], expected_1V)


def test_a_draw_by_hand() -> None:
    """Probabilities 1/2, 0, 1/4, 1/4: borders at .5, .5, .75, 1."""
    scores_BV = torch.tensor([[0.5, 0.0, 0.25, 0.25]] * 6).log()
    uniform_B1 = torch.tensor([[0.0], [0.49], [0.5], [0.74], [0.76], [1 - 2**-24]])
    assert draw(scores_BV, uniform_B1) == [0, 0, 2, 2, 3, 3]


def test_a_draw_never_leaves_what_is_kept() -> None:
    """The last tokens have no probability, and the number is as close to 1 as a float32 gets."""
    scores_BV = torch.full((1, 1000), -torch.inf)
    scores_BV[0, :3] = torch.tensor([0.1, 0.2, 0.3])
    assert draw(scores_BV, torch.tensor([[1 - 2**-24]])) == [2]


def test_nan_is_an_error_and_no_token() -> None:
    scores_BV = torch.zeros(2, 5)
    scores_BV[1, 3] = torch.nan
    with pytest.raises(NumericError, match="NaN"):
        draw(scores_BV, torch.tensor([[0.1], [0.1]]))
    model = tiny_model("qwen2")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    with pytest.raises(NumericError, match="NaN"):
        decode(model, requests(1), slots=1, stop_ids=NEVER, sampling=PLAIN)


def test_draws_follow_the_probabilities() -> None:
    """10,000 draws of four tokens: each frequency within four standard errors of softmax(scores / temperature)."""
    scores_V = torch.tensor([1.0, 0.0, -1.0, 2.0])
    count, temperature = 10_000, 1.3
    numbers = torch.rand(count, generator=torch.Generator().manual_seed(5)).tolist()
    tokens = choose_tokens(scores_V.expand(count, -1), [[]] * count, [temperature] * count, numbers, PLAIN)
    for token, probability in enumerate((scores_V / temperature).softmax(0).tolist()):
        error = (probability * (1 - probability) / count) ** 0.5
        assert abs(tokens.count(token) / count - probability) < 4 * error


def test_random_numbers_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    ask = Request((1,), 0.7, 3, 50)
    assert uniforms_of(ask) == uniforms_of(ask) != uniforms_of(Request((1,), 0.7, 4, 50))
    assert uniforms_of(Request((2,), 1.0, 3, 20)) == uniforms_of(ask)[:20]
    assert torch.equal(torch.get_rng_state(), state)
