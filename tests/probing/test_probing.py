"""Probes: packed and prefix-shared forwards equal plain ones, and figures worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny import PACKED_FAMILIES, PLAIN_FAMILIES, tiny_model, tiny_tokenizer

from epistemic_stance.foundation.errors import InputError, NumericError
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.find import DEMO_FOLDER
from epistemic_stance.models.load import load_model, load_tokenizer
from epistemic_stance.probing.choices import choice_requests, choices_record, end_of_turn
from epistemic_stance.probing.forward import LogprobRequest, answer_logps, choose_forward, packed_logps, plain_logps
from epistemic_stance.probing.material import drawn, paragraphs_of, with_choices
from epistemic_stance.probing.neutral import encode_text, kl_divergence, neutral_record, read_base, read_text
from epistemic_stance.probing.yes_no import p_yes_and_mass, spelled, yes_no_record, yes_no_requests
from epistemic_stance.records.probes import ParagraphRecord, YesNoAnswerRecord, YesNoRecord
from epistemic_stance.records.written import AnswerKey, Question

QUESTIONS = ["Is the river lower today?", "Do cats dream?", "Is it a slower walk, year by year, than the longest one?"]
TEXT = ["A slower walk is a longer walk.", "The tide is lower, lowest, and lowish again: a lower tide."]


def asked_of(tokenizer: Any) -> list[LogprobRequest]:
    """Yes or no, and answers of several tokens, among them one that begins another."""
    options = [tuple(tokenizer.encode(text)) for text in ("Forty metres", "Forty", "It is very tall, I feel")]
    long = [LogprobRequest(tuple(encode_question(tokenizer, text)), tuple(options)) for text in QUESTIONS]
    return [*yes_no_requests(tokenizer, QUESTIONS, None), *long]


# --- forward passes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", PACKED_FAMILIES)
def test_packed_passes_equal_plain_ones(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epistemic_stance.probing.forward.TOKENS_OF_PASS", 60)  # several questions a pass, and passes
    model = tiny_model(family)
    asked = asked_of(tiny_tokenizer())
    forward = choose_forward(model, asked)
    assert (forward.packed, forward.note) == (True, None)
    plain = [plain_logps(model, item) for item in asked]
    for found, expected in zip(answer_logps(model, forward, asked), plain, strict=True):
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-4)


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_a_model_that_cannot_be_packed_is_asked_plainly(family: str) -> None:
    model = tiny_model(family)
    asked = asked_of(tiny_tokenizer())
    forward = choose_forward(model, asked)
    assert not forward.packed
    assert forward.note is not None
    assert "each question is computed alone" in forward.note
    assert answer_logps(model, forward, asked) == [plain_logps(model, item) for item in asked]


def test_questions_longer_than_an_attention_window_are_asked_plainly() -> None:
    asked = asked_of(tiny_tokenizer())
    window = sorted(item.longest for item in asked)[3]
    model = tiny_model("mistral", sliding_window=window)
    forward = choose_forward(model, asked)
    assert forward.packed
    found = answer_logps(model, forward, asked)
    for logps, item in zip(found, asked, strict=True):
        assert logps == pytest.approx(plain_logps(model, item), rel=2e-5, abs=1e-4)


def test_the_demo_model_packed_equals_plain() -> None:
    model, tokenizer = load_model(DEMO_FOLDER, "cpu"), load_tokenizer(DEMO_FOLDER)
    asked = asked_of(tokenizer)
    packed = packed_logps(model, asked)
    for found, item in zip(packed, asked, strict=True):
        assert found == pytest.approx(plain_logps(model, item), abs=2e-4)


def test_what_a_question_is_given_does_not_depend_on_its_neighbours() -> None:
    model = tiny_model("qwen2")
    asked = asked_of(tiny_tokenizer())
    together = packed_logps(model, asked)
    for item, found in zip(asked, together, strict=True):
        assert packed_logps(model, [item])[0] == pytest.approx(found, rel=2e-5, abs=1e-4)


def test_damaged_weights_are_said_and_not_reported_as_a_figure() -> None:
    model = tiny_model("qwen2")
    asked = asked_of(tiny_tokenizer())
    forward = choose_forward(model, asked)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan
    with pytest.raises(NumericError, match="NaN or infinite"):
        answer_logps(model, forward, asked)
    with pytest.raises(NumericError, match="NaN or infinite"):
        read_text(model, encode_text(tiny_tokenizer(), TEXT, 512, "text"), None)


# --- yes or no ---------------------------------------------------------------------------------------------


class Spelling:
    """A tokenizer that cuts words as it is told, one number a piece."""

    def __init__(self, pieces: dict[str, list[int]]) -> None:
        self.pieces = pieces

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return self.pieces[text]


def test_spellings_count_once_and_whole() -> None:
    """` Yes` and `Yes` alike; ` yes` begins with what `yes` begins with; every no begins with the token of ` yes`."""
    cuts = {"Yes": [1], " Yes": [1], "yes": [2, 3], " yes": [9, 2], "YES": [1, 7]}
    cuts |= {"No": [9, 4], " No": [9, 4], "no": [5], " no": [9, 5], "NO": [6]}
    yes, no = spelled(Spelling(cuts))
    assert yes == [(1,), (2, 3), (9, 2)]  # YES continues Yes
    assert no == [(5,), (6,), (9, 4), (9, 5)]


def test_p_yes_and_mass_by_hand() -> None:
    logps = [math.log(p) for p in (0.1, 0.05, 0.3, 0.05)]
    p_yes, mass = p_yes_and_mass(logps, 2)
    assert (p_yes, mass) == pytest.approx((0.3, 0.5))
    p_yes, mass = p_yes_and_mass([-2000.0, -2000.0 + math.log(3)], 1)
    assert (p_yes, mass) == pytest.approx((0.25, 0.0))


def yes_no_question(number: int, favours: str, matter: str | None = None, category: str = "a") -> Question:
    values = {"id": f"q{number}", "category": category, "text": f"Question {number}?", "favours": favours}
    return Question.model_validate(values | {"matter": matter})


def test_preference_and_acquiescence_by_hand() -> None:
    """A model that says yes to all: preference is undecided, acquiescence what it is; change is paired."""
    questions = [yes_no_question(1, "yes"), yes_no_question(2, "yes"), yes_no_question(3, "no")]
    before = yes_no_record("s", questions, [(0.5, 0.9), (0.3, 0.8), (0.4, 0.7)], None)
    after = yes_no_record("s", questions, [(0.9, 0.9), (0.9, 0.8), (0.9, 0.1)], before)
    assert before.overall.preference is not None
    assert before.overall.preference.value == pytest.approx((0.4 + 0.6) / 2)
    assert before.overall.preference_change is None
    leaning = after.overall
    assert leaning.preference is not None
    assert leaning.acquiescence is not None
    assert leaning.preference_change is not None
    assert leaning.acquiescence_change is not None
    assert leaning.preference.value == pytest.approx(0.5)
    assert leaning.acquiescence.value == pytest.approx(0.4)
    assert leaning.preference_change.value == pytest.approx(((0.4 + 0.6) / 2 - 0.5) / 2)
    assert leaning.acquiescence_change.value == pytest.approx((0.5 + 0.5) / 2)
    assert leaning.median_mass == 0.8


def test_one_polarity_tells_nothing_apart_and_matters_are_units() -> None:
    one_sided = yes_no_record("s", [yes_no_question(1, "yes"), yes_no_question(2, "yes")], [(0.9, 1.0)] * 2, None)
    assert one_sided.overall.preference is None
    assert one_sided.overall.acquiescence is None
    sides = [("yes", "m1"), ("no", "m1"), ("yes", "m2"), ("no", "m2")]
    pairs = [yes_no_question(number, favours, matter) for number, (favours, matter) in enumerate(sides)]
    leaning = yes_no_record("s", pairs, [(0.9, 1.0), (0.2, 1.0), (0.6, 1.0), (0.3, 1.0)], None).overall
    assert leaning.preference is not None
    assert leaning.preference.units == 2
    # Of the two matters' own preferences, .85 and .65: mean .75, standard deviation .1414, / root 2 = .1.
    assert (leaning.preference.value, leaning.preference.se) == pytest.approx((0.75, 0.1 * math.sqrt(3 / 2)))


def test_categories_are_taken_apart() -> None:
    questions = [
        yes_no_question(n, f, category=c) for n, (f, c) in enumerate([("yes", "a"), ("no", "a"), ("yes", "b")])
    ]
    record = yes_no_record("s", questions, [(0.9, 1.0), (0.1, 1.0), (0.2, 1.0)], None)
    assert list(record.categories) == ["a", "b"]
    assert record.categories["a"].preference is not None
    assert record.categories["a"].preference.value == pytest.approx(0.9)
    assert record.categories["b"].preference is None
    assert record.answers[0] == YesNoAnswerRecord(id="q0", category="a", favours="yes", matter=None, p_yes=0.9, mass=1)
    assert YesNoRecord.model_validate_json(record.model_dump_json()) == record


# --- neutral text ------------------------------------------------------------------------------------------


def test_kl_by_hand() -> None:
    """KL((1/2, 1/2) || (1/4, 3/4)) = ln 2 / 2 + ln(2/3) / 2; the other way round it is another number."""
    base, model = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert kl_divergence(base, model).tolist() == pytest.approx([0.5 * math.log(2) + 0.5 * math.log(2 / 3)])
    backwards = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert kl_divergence(model, base).tolist() == pytest.approx([backwards])


def test_a_model_against_itself_and_against_another() -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model("qwen2")
    ids = encode_text(tokenizer, TEXT, 512, "text")
    base = read_base(model, ids)
    same = neutral_record(read_text(model, ids, base), base.nlls)
    assert same.kl is not None
    assert same.agreement is not None
    assert (same.kl.value, same.agreement.value, same.perplexity_ratio) == (0.0, 1.0, 1.0)
    other_model = tiny_model("qwen2", seed=1)
    other = neutral_record(read_text(other_model, ids, base), base.nlls)
    logps = [
        [one(input_ids=torch.tensor([row])).logits[0, :-1].log_softmax(-1) for row in ids]
        for one in (model, other_model)
    ]
    kls = [(p.exp() * (p - q)).sum(-1) for p, q in zip(*logps, strict=True)]
    losses = [-q.gather(1, torch.tensor(row[1:])[:, None]) for q, row in zip(logps[1], ids, strict=True)]
    agreed = [(p.argmax(-1) == q.argmax(-1)).float() for p, q in zip(*logps, strict=True)]
    assert other.kl is not None
    assert other.agreement is not None
    assert other.kl.value == pytest.approx(torch.cat(kls).mean().item(), rel=1e-5)
    assert other.perplexity == pytest.approx(torch.cat(losses).mean().exp().item(), rel=1e-5)
    assert other.agreement.value == pytest.approx(torch.cat(agreed).mean().item())
    assert other.perplexity_ratio == pytest.approx(other.perplexity / same.perplexity)
    assert other.tokens == sum(len(row) - 1 for row in ids)


def test_chunks_of_a_long_paragraph_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model("qwen2")
    ids = encode_text(tokenizer, TEXT, 512, "text")
    base = read_base(tiny_model("qwen2", seed=1), ids)
    whole = read_text(model, ids, base)
    monkeypatch.setattr("epistemic_stance.probing.neutral.ROWS", 3)
    for one, other in zip(read_text(model, ids, base), whole, strict=True):
        assert (one.nll, one.kl) == pytest.approx((other.nll, other.kl))
        assert (one.tokens, one.agreed) == (other.tokens, other.agreed)


def test_errors_of_a_paragraph_are_over_paragraphs() -> None:
    """Two paragraphs of 10 and 30 tokens: mean per token 1.75, standard error sqrt(2) * 30 / 40 * .25 ... by hand."""
    record = neutral_record(
        [
            ParagraphRecord(tokens=10, nll=10.0, kl=1.0, agreed=5),
            ParagraphRecord(tokens=30, nll=60.0, kl=9.0, agreed=30),
        ],
        [10.0, 30.0],
    )
    assert record.nll.value == pytest.approx(1.75)
    # influence: 10 * (1 - 1.75) / 40 and 30 * (2 - 1.75) / 40, that is -.1875 and +.1875; factor 2 / 1
    assert record.nll.se == pytest.approx(math.sqrt(2 * 2 * 0.1875**2))
    assert record.perplexity_ratio == pytest.approx(math.exp(1.75 - 1))
    assert record.kl is not None
    assert record.agreement is not None
    assert (record.kl.value, record.agreement.value) == pytest.approx((0.25, 35 / 40))


def test_a_text_is_cut_at_blank_lines_and_has_to_fit() -> None:
    assert paragraphs_of("One\nline.\n\n\n  Two. \r\n\r\nThree") == ["One line.", "Two.", "Three"]
    tokenizer = tiny_tokenizer()
    with pytest.raises(InputError, match=r"paragraph 2 has \d+ tokens, expected at most 20"):
        encode_text(tokenizer, ["Short.", " ".join(TEXT)], 20, "text")
    with pytest.raises(InputError, match="has no text"):
        encode_text(tokenizer, [], 20, "text")


# --- choices -----------------------------------------------------------------------------------------------


def choice_question(number: int, category: str, right: str, *wrong: str, kind: str = "phrase") -> Question:
    key = AnswerKey.model_validate({"kind": kind, "accepted": [right]})
    return Question(id=f"q{number}", category=category, text=f"Question {number}?", answer=key, choices=list(wrong))


def test_options_are_whole_answers_with_their_end() -> None:
    tokenizer = tiny_tokenizer()
    questions = [choice_question(1, "a", "Forty", "Forty metres"), choice_question(2, "b", "no", kind="yes_no")]
    choices = with_choices("set", [*questions, Question(id="q3", category="a", text="Open?")])
    assert [choice.options for choice in choices] == [("Forty", "Forty metres"), ("No", "Yes")]
    assert choices[1].text == "Question 2? Answer yes or no."
    asked = choice_requests(tokenizer, choices, None, {2, 0})
    assert {answer[-1] for item in asked for answer in item.answers} == {2} == {end_of_turn(tokenizer, {2, 0})}
    logps = answer_logps(tiny_model("qwen2"), choose_forward(tiny_model("qwen2"), asked), asked)
    assert math.exp(logps[0][0]) + math.exp(logps[0][1]) < 1


def test_the_draw_is_nested_balanced_and_does_not_depend_on_the_order() -> None:
    questions = [choice_question(n, "abc"[n % 3], "x", "y") for n in range(60)]
    questions += [choice_question(n, "d", "yes" if n % 5 else "no", kind="yes_no") for n in range(60, 100)]
    choices = with_choices("set", questions)
    twenty, forty = drawn(choices, 20), drawn(choices, 40)
    assert forty[:20] == twenty
    assert drawn(choices[::-1], 40) == forty
    assert drawn(choices, 1000)[:40] == forty
    assert [sum(one.question.category == name for one in twenty) for name in "abcd"] == [5, 5, 5, 5]
    answers = [one.options[0] for one in forty if one.question.category == "d"]
    assert answers.count("Yes") == answers.count("No") == 5


def test_accuracy_margin_and_paired_change_by_hand() -> None:
    questions = [choice_question(n, "ab"[n % 2], "x", "y", "z") for n in range(4)]
    choices = with_choices("set", questions)
    before = choices_record(
        choices, [[-1.0, -2.0, -3.0], [-2.0, -1.0, -3.0], [-5.0, -6.0, -4.0], [-1.0, -1.0, -2.0]], None
    )
    after = choices_record(
        choices, [[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-4.0, -6.0, -5.0], [-1.0, -1.0, -2.0]], before
    )
    assert [one.right for one in before.answers] == [True, False, False, False]  # a tie is not right
    assert before.overall.accuracy == 0.25
    assert before.overall.change is None
    assert before.overall.margin.value == pytest.approx((1 - 1 - 1 + 0) / 4)
    assert after.overall.accuracy == 0.75
    assert after.overall.change is not None
    assert after.overall.margin_change is not None
    assert after.overall.change.value == pytest.approx(0.5)
    assert after.overall.change.units == 4
    assert after.overall.margin_change.value == pytest.approx((0 + 2 + 2 + 0) / 4)
    assert {name: part.accuracy for name, part in after.categories.items()} == {"a": 1.0, "b": 0.5}
