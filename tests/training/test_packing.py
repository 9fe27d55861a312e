"""One packed sequence gives what separate forwards give, for every family, or the plain path is taken and says why."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tiny import PACKED_FAMILIES, PLAIN_FAMILIES, tiny_encoded, tiny_model
from transformers import AutoConfig

from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training import packing
from epistemic_stance.training.dpo import PairLogps
from epistemic_stance.training.engine import compute_precision
from epistemic_stance.training.packing import (
    MAX_PACKED_TOKENS,
    PairForward,
    choose_forward,
    pack,
    packed_logps,
    plain_logps,
    sliding_window,
)

CPU = torch.device("cpu")
CASES = [
    (family, attention)
    for family in PACKED_FAMILIES
    for attention in ("sdpa", "eager")
    if (family, attention) != ("gemma2", "sdpa")  # transformers refuses it
]
SHORT = EncodedPair("short", [5, 6, 7], [8, 9], [10, 11, 12])
SINGLE = EncodedPair("single", [20, 21], [22], [23])


def pair_of(name: str, prompt: int, chosen: int, rejected: int) -> EncodedPair:
    """A pair of the given lengths with made-up tokens."""
    ids = [5 + (7 * index + len(name)) % 390 for index in range(prompt + chosen + rejected)]
    return EncodedPair(name, ids[:prompt], ids[prompt : prompt + chosen], ids[prompt + chosen :])


def concatenated(logps: PairLogps) -> torch.Tensor:
    return torch.cat([logps.chosen_B, logps.rejected_B])


# --- the layout --------------------------------------------------------------------------------------------


def test_layout_of_two_pairs() -> None:
    """prompt 5 6 7, chosen 8 9, rejected 10 11 12; then prompt 20 21, chosen 22, rejected 23.

    The last token of an answer predicts nothing, so it is not fed: 3 + 1 + 2 tokens, then 2 + 0 + 0.
    """
    batch = pack([SHORT, SINGLE], CPU)
    assert batch.input_ids_1T.tolist() == [[5, 6, 7, 8, 10, 11, 20, 21]]
    assert batch.position_ids_1T.tolist() == [[0, 1, 2, 3, 3, 4, 0, 1]]
    sees = [
        # 5  6  7  8 10 11 20 21
        [1, 0, 0, 0, 0, 0, 0, 0],  # 5
        [1, 1, 0, 0, 0, 0, 0, 0],  # 6
        [1, 1, 1, 0, 0, 0, 0, 0],  # 7
        [1, 1, 1, 1, 0, 0, 0, 0],  # 8, chosen
        [1, 1, 1, 0, 1, 0, 0, 0],  # 10, rejected: not 8
        [1, 1, 1, 0, 1, 1, 0, 0],  # 11
        [0, 0, 0, 0, 0, 0, 1, 0],  # 20, the next pair: nothing of the first
        [0, 0, 0, 0, 0, 0, 1, 1],  # 21
    ]
    assert batch.attention_mask_11TT.shape == (1, 1, 8, 8)
    assert batch.attention_mask_11TT.dtype == torch.float32
    assert (batch.attention_mask_11TT[0, 0] == 0).int().tolist() == sees
    assert set(batch.attention_mask_11TT.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}
    # 8 is predicted after 7, 9 after 8; 10 after 7, 11 after 10, 12 after 11; 22 and 23 both after 21.
    assert batch.targets_N.tolist() == [8, 9, 10, 11, 12, 22, 23]
    assert batch.predict_at_N.tolist() == [2, 3, 2, 4, 5, 7, 7]
    assert batch.side_N.tolist() == [0, 0, 1, 1, 1, 2, 3]


# --- packed = separate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "attention"), CASES)
def test_packed_equals_separate_forwards(family: str, attention: str) -> None:
    model = tiny_model(family, attention=attention)
    pairs = [*tiny_encoded(5), SHORT, SINGLE]
    forward = choose_forward(model, pairs)
    assert forward.packed is True, forward.reason
    assert all(forward.is_packed(pair) for pair in pairs)
    with torch.no_grad():
        torch.testing.assert_close(
            concatenated(packed_logps(model, pairs)), concatenated(plain_logps(model, pairs)), rtol=2e-6, atol=2e-5
        )


@pytest.mark.parametrize(("family", "attention"), CASES)
def test_packed_gradients_equal_separate_gradients(family: str, attention: str) -> None:
    model = tiny_model(family, attention=attention)
    pairs = [*tiny_encoded(2), SINGLE]
    gradients = []
    for path in (packed_logps, plain_logps):
        model.zero_grad()
        logps = path(model, pairs)
        (logps.chosen_B.sum() - 0.5 * logps.rejected_B.sum()).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for packed, plain in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(packed, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT 0.21 asks for it
def test_packed_through_lora_adapters() -> None:
    """PEFT's wrapper hides the model's forward arguments; adapters that are not zero must act on both paths."""
    from peft import LoraConfig, get_peft_model

    pairs = tiny_encoded(3)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        bare = concatenated(plain_logps(tiny_model("qwen2"), pairs))
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        model = get_peft_model(tiny_model("qwen2"), config).eval()
        assert choose_forward(model, pairs).packed is True
        packed, plain = concatenated(packed_logps(model, pairs)), concatenated(plain_logps(model, pairs))
    torch.testing.assert_close(packed, plain, rtol=2e-6, atol=2e-5)
    assert (plain - bare).abs().min() > 1e-3


@pytest.mark.parametrize("family", PACKED_FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_packed_under_autocast(family: str, dtype: torch.dtype) -> None:
    """The float32 mask overflows to -inf in half precision: that must hide tokens, not make NaN."""
    model = tiny_model(family)
    pairs = tiny_encoded(2)
    with torch.no_grad(), compute_precision(model, dtype):
        packed, plain = packed_logps(model, pairs), plain_logps(model, pairs)
    assert packed.chosen_B.dtype == torch.float32
    torch.testing.assert_close(concatenated(packed), concatenated(plain), rtol=2e-3, atol=0)


@pytest.mark.parametrize("family", ["qwen2", "gemma3", "bloom"])
def test_plain_path_against_the_whole_table_of_logits(family: str) -> None:
    """log p(answer | prompt) read off a full softmax by indices: token t is predicted by the output at t - 1."""
    model = tiny_model(family)
    for pair in (tiny_encoded(1)[0], SHORT, SINGLE):
        expected = []
        for answer in (pair.chosen_ids, pair.rejected_ids):
            ids = pair.prompt_ids + answer
            with torch.no_grad():
                table_TV = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            expected.append(sum(table_TV[t - 1, ids[t]].item() for t in range(len(pair.prompt_ids), len(ids))))
        with torch.no_grad():
            logps = plain_logps(model, [pair])
        assert [logps.chosen_B.item(), logps.rejected_B.item()] == pytest.approx(expected, rel=1e-6)


# --- the check at the start --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", PACKED_FAMILIES)
@pytest.mark.parametrize("fault", ["answers see each other", "positions run on", "pairs see each other"])
def test_start_check_sees_a_wrong_layout(family: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(pairs: Any, device: torch.device) -> packing.Pack:
        batch = pack(pairs, device)
        length = batch.input_ids_1T.shape[1]
        mask_TT = batch.attention_mask_11TT[0, 0]
        first = pairs[0].packed_length - 2
        if fault == "positions run on":
            batch.position_ids_1T[0] = torch.arange(length)
        elif fault == "answers see each other":
            mask_TT[:first, :first] = mask_TT[:first, :first].masked_fill(torch.ones(first, first).tril() > 0, 0.0)
        else:
            mask_TT[first:, :first] = 0.0
        return batch

    monkeypatch.setattr(packing, "pack", faulty)
    forward = choose_forward(tiny_model(family), tiny_encoded(3))
    assert forward.packed is False
    assert forward.reason.startswith("packed and separate forwards differ by ")


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_model_without_masks_or_positions_takes_the_plain_path(family: str) -> None:
    model = tiny_model(family)
    pairs = tiny_encoded(3)
    forward = choose_forward(model, pairs)
    assert forward.packed is False
    assert forward.reason.startswith("the model does not accept packed input: ")
    assert [len(group) for group in forward.groups(pairs, len(pairs))] == [1, 1, 1]
    with torch.no_grad():
        assert torch.equal(concatenated(forward.logps(model, pairs[:1])), concatenated(plain_logps(model, pairs[:1])))


def test_one_pair_is_enough_for_the_check() -> None:
    assert choose_forward(tiny_model("qwen2"), [SINGLE]).packed is True


def test_check_does_not_hide_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any) -> PairLogps:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(packing, "packed_logps", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        choose_forward(tiny_model("qwen2"), tiny_encoded(2))


# --- sliding windows ---------------------------------------------------------------------------------------

WINDOW = 16
WITHIN = pair_of("within", prompt=6, chosen=9, rejected=7)
BEYOND = pair_of("beyond", prompt=10, chosen=6, rejected=8)
WINDOWED = ["mistral", "gemma2", "gemma3"]


@pytest.mark.parametrize("family", WINDOWED)
def test_pair_as_long_as_the_window_takes_the_plain_path(family: str) -> None:
    """`within` is 15 tokens at most (22 packed: the window must not count those), `exact` 16, `beyond` 18."""
    model = tiny_model(family, sliding_window=WINDOW)
    pairs = [WITHIN, BEYOND, SHORT]
    forward = choose_forward(model, pairs)
    assert not forward.is_packed(pair_of("exact", prompt=6, chosen=10, rejected=1))
    assert forward.packed is True, forward.reason
    assert forward.window == WINDOW
    assert [forward.is_packed(pair) for pair in pairs] == [True, False, True]
    assert [[pair.id for pair in group] for group in forward.groups(pairs, len(pairs))] == [
        ["within"],
        ["beyond"],
        ["short"],
    ]
    with torch.no_grad():
        actual = torch.cat([concatenated(forward.logps(model, group)) for group in forward.groups(pairs, len(pairs))])
        expected = torch.cat([concatenated(plain_logps(model, [pair])) for pair in pairs])
        torch.testing.assert_close(actual, expected, rtol=2e-6, atol=2e-5)
        together = concatenated(forward.logps(model, [WITHIN, SHORT]))
        torch.testing.assert_close(together, concatenated(plain_logps(model, [WITHIN, SHORT])), rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("family", WINDOWED)
def test_packing_beyond_the_window_would_be_wrong(family: str) -> None:
    """Why the rule above exists: a 4D mask switches the window off."""
    model = tiny_model(family, sliding_window=WINDOW)
    with torch.no_grad():
        packed, plain = packed_logps(model, [BEYOND]), plain_logps(model, [BEYOND])
    assert (concatenated(packed) - concatenated(plain)).abs().max() > 1e-2


def test_window_shorter_than_every_pair() -> None:
    forward = choose_forward(tiny_model("mistral", sliding_window=4), [WITHIN, BEYOND])
    assert (forward.packed, forward.reason) == (False, "every pair is as long as the sliding window of 4 tokens")


@pytest.mark.parametrize(
    ("family", "overrides", "window"),
    [
        ("mistral", {"sliding_window": 32}, 32),
        ("mistral", {}, None),
        ("gemma", {}, None),
        ("qwen2", {"sliding_window": 32}, None),  # Qwen2 ships a window and switches it off
        ("qwen2", {"sliding_window": 32, "use_sliding_window": True, "max_window_layers": 0}, 32),
        ("smollm3", {"sliding_window": 32}, None),
    ],
)
def test_window_is_read_from_the_config(family: str, overrides: dict[str, Any], window: int | None) -> None:
    assert sliding_window(tiny_model(family, **overrides).config) == window


def test_window_of_a_multimodal_config() -> None:
    """Gemma 3 from 4B up loads as a vision model whose language part sits one level down."""
    assert sliding_window(AutoConfig.for_model("gemma3", text_config={"sliding_window": 32})) == 32


# --- splitting a batch -------------------------------------------------------------------------------------

sizes = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 600), st.integers(1, 600)), max_size=12)


@example([(900, 62, 62)] * 2, None, True, 2)  # 2048 tokens: exactly full
@given(sizes, st.none() | st.integers(2, 1500), st.booleans(), st.integers(1, 13))
def test_groups(lengths: list[tuple[int, int, int]], window: int | None, packed: bool, batch_size: int) -> None:
    """Order is kept, nothing is lost, groups stay below both limits unless single, plain pairs are alone."""
    forward = PairForward(packed, "", window)
    pairs = [
        EncodedPair(str(index), [1] * prompt, [1] * chosen, [1] * rejected)
        for index, (prompt, chosen, rejected) in enumerate(lengths)
    ]
    groups = list(forward.groups(pairs, batch_size))
    assert [pair for group in groups for pair in group] == pairs
    for group in groups:
        assert len(group) <= batch_size
        assert len(group) == 1 or all(forward.is_packed(pair) for pair in group)
        assert len(group) == 1 or sum(pair.packed_length for pair in group) <= MAX_PACKED_TOKENS
    for group, following in pairwise(groups):
        joined = [*group, following[0]]
        too_long = sum(pair.packed_length for pair in joined) > MAX_PACKED_TOKENS
        plain = not all(forward.is_packed(pair) for pair in joined)
        assert plain or too_long or len(joined) > batch_size, "split without need"


def test_splitting_changes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("qwen2")
    pairs = tiny_encoded(6)
    forward = choose_forward(model, pairs)
    monkeypatch.setattr(packing, "MAX_PACKED_TOKENS", 170)
    groups = list(forward.groups(pairs, len(pairs)))
    assert [len(group) for group in groups] == [2, 2, 1, 1]
    with torch.no_grad():
        split = torch.cat([forward.logps(model, group).chosen_B for group in groups])
        torch.testing.assert_close(split, packed_logps(model, pairs).chosen_B, rtol=2e-6, atol=0)
