"""Learning told from parroting and from nothing at all; answers of a model whose weights change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import PACKED_FAMILIES, tiny_model, tiny_pairs, tiny_tokenizer

from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import make_decoder
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.records.training import AnswerRecord
from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.training.checkpoint_eval import (
    ANSWER_TOKENS,
    CheckpointEvaluation,
    EvalQuestions,
    choose_questions,
    judge,
)
from epistemic_stance.training.lora import add_lora
from epistemic_stance.training.wording import WordingScale


def answer(change: float, copied: float = 0.0, chosen: float = 0.1, crossed: bool = True) -> AnswerRecord:
    return AnswerRecord(
        question_id="q",
        question="?",
        answer="a",
        base_answer="b",
        distance_from_base=0.5,
        distance_from_chosen=0.5,
        wording=change,
        base_wording=0.0,
        crossed=crossed,
        chosen_wording=chosen,
        base_chosen_wording=0.0,
        copied=copied,
        repetition=0.0,
    )


def test_verdicts() -> None:
    moved = [answer(change) for change in (0.5, 0.6, 0.4, 0.55)]
    assert judge(moved, None).verdict == "shifted"
    assert judge([answer(change) for change in (0.5, -0.4, 0.3, -0.3)], None).verdict == "neither"
    other_disclaimers = [answer(change, crossed=False) for change in (0.5, 0.6, 0.4, 0.55, 0.5)]
    assert judge(other_disclaimers, None).verdict == "neither"
    assert judge([answer(0.5), *other_disclaimers], None).verdict == "neither"
    assert judge([answer(0.5), answer(0.6), *other_disclaimers], None).verdict == "shifted"
    assert judge([answer(0.5, copied=0.6)] * 4, None).verdict == "parrots"
    assert judge([answer(change, chosen=-0.1) for change in (0.5, 0.6, 0.4)], None).verdict == "neither"
    assert judge([answer(0.9)], None).verdict == "neither"


@pytest.mark.parametrize("collapsed", ["", "....", "banana", "zxq wvu qqq zxq", "of of of of of of"])
def test_a_collapsed_model_has_not_shifted(collapsed: str) -> None:
    """It has left the rejected wording, but for nothing."""
    scale = WordingScale(load_pairs(load_stance("epistemic").corpus))
    disclaimers = [
        "As an AI language model, I do not have feelings. I am designed to assist users.",
        "I'm sorry, but as an AI assistant I am not able to answer that.",
        "I was created to provide information and I do not possess consciousness.",
        "As an artificial intelligence, I have no personal opinions or emotions.",
    ]
    answers = [
        answer(0).model_copy(
            update={
                "wording": scale.score(collapsed),
                "base_wording": scale.score(base),
                "crossed": scale.score(base) <= scale.midpoint < scale.score(collapsed),
                "chosen_wording": scale.chosen_score(collapsed),
                "base_chosen_wording": scale.chosen_score(base),
                "copied": 0.0,
            }
        )
        for base in disclaimers
    ]
    assert judge(answers, None).verdict == "neither"


def test_unseen_questions_come_from_every_category_in_turn() -> None:
    stance = load_stance("epistemic")
    pairs = load_pairs(stance.corpus)
    chosen = choose_questions(stance, pairs, 10)
    categories = {question.id: question.category for question in stance.question_sets["phase1"].questions}
    assert len({categories[question_id] for question_id, _ in chosen.unseen}) == 10
    assert chosen.neutral
    first = chosen.unseen[0][1]
    trained = [*pairs, Pair("x", "c", [{"role": "user", "content": first.upper()}], "good", "bad")]
    assert first not in [text for _, text in choose_questions(stance, trained, 10).unseen]
    assert choose_questions(stance, pairs, 0).unseen == []


# --- the model in training -----------------------------------------------------------------------------------


STOP = 2
UNSEEN = [("u1", "Why is the tower old?"), ("u2", "Is the ladder long?"), ("u3", "Who sells boats?")]
NEUTRAL = [("n1", "What is six times eight?"), ("n2", "How tall is a door?")]


def evaluation_of(model: Any) -> CheckpointEvaluation:
    pairs = tiny_pairs(8)
    decoder = make_decoder(model, tiny_tokenizer(), {STOP})
    return CheckpointEvaluation(decoder, EvalQuestions(UNSEEN, NEUTRAL), pairs, WordingScale(pairs), None)


def no_progress(_done: int, _most: int) -> None:
    pass


def by_transformers(model: Any) -> list[str]:
    """Greedy answers to the unseen questions, one at a time."""
    tokenizer = tiny_tokenizer()
    texts = []
    for _, question in UNSEEN:
        prompt = encode_question(tokenizer, question)
        [reply] = generate_batch(model, [prompt], stop_ids={STOP}, max_new_tokens=ANSWER_TOKENS)
        text = tokenizer.decode(reply.token_ids, skip_special_tokens=True)
        texts.append((text.removesuffix("\ufffd") if reply.end_id is None else text).strip())
    return texts


@pytest.mark.parametrize("family", ["qwen2", "gemma3", "bloom"])
def test_answers_are_those_of_the_weights_as_they_are(family: str) -> None:
    model, other = tiny_model(family), tiny_model(family, seed=4)
    evaluation = evaluation_of(model)
    base = evaluation.base_answers(no_progress)
    assert base.answers == by_transformers(tiny_model(family))
    unchanged = evaluation.evaluate(base, no_progress)
    assert [record.answer for record in unchanged.answers] == base.answers
    assert unchanged.kl_neutral == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), other.parameters(), strict=True):
            parameter.copy_(value)
    changed = evaluation.evaluate(base, no_progress)
    assert [record.answer for record in changed.answers] == by_transformers(other) != base.answers
    assert [record.base_answer for record in changed.answers] == base.answers
    assert changed.kl_neutral is not None
    assert changed.kl_neutral > 0.1


def test_kl_is_the_mean_of_k3_over_the_tokens_that_the_base_sampled() -> None:
    model, other = tiny_model("qwen2"), tiny_model("qwen2", seed=3)
    base = evaluation_of(model).base_answers(no_progress)
    terms = []
    for kept in base.neutral:
        ids = torch.tensor([kept.prompt_ids + kept.answer_ids])
        with torch.no_grad():
            logps = [each(ids).logits[0, len(kept.prompt_ids) - 1 : -1].log_softmax(-1) for each in (model, other)]
        rows = torch.arange(len(kept.answer_ids))
        reference, policy = (each[rows, torch.tensor(kept.answer_ids)] for each in logps)
        terms += ((policy - reference).exp() - 1 - (policy - reference)).tolist()
    measured = evaluation_of(other).evaluate(base, no_progress).kl_neutral
    assert measured == pytest.approx(sum(terms) / len(terms), rel=1e-4)


@pytest.mark.parametrize("family", PACKED_FAMILIES)
@pytest.mark.parametrize("rank", [0, 2])
def test_training_goes_on_after_an_evaluation_as_if_there_had_been_none(family: str, rank: int) -> None:
    gradients = []
    for evaluated in (True, False):
        model = tiny_model(family)
        if rank:
            add_lora(model, rank, seed=1)
        if evaluated:
            evaluation = evaluation_of(model)
            evaluation.evaluate(evaluation.base_answers(no_progress), no_progress)
        model(torch.tensor([[5, 6, 7, 8]])).logits.logsumexp(-1).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.requires_grad])
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_progress_is_told_in_tokens_and_time_is_estimated() -> None:
    evaluation = evaluation_of(tiny_model("qwen2"))
    events: list[tuple[int, int]] = []
    evaluation.base_answers(lambda done, most: events.append((done, most)))
    assert {most for _, most in events} == {5 * ANSWER_TOKENS}
    assert [done for done, _ in events] == sorted(done for done, _ in events)
    assert events[-1] == (5 * ANSWER_TOKENS, 5 * ANSWER_TOKENS)
    seconds = evaluation.seconds()
    assert 0 < seconds.checkpoint < seconds.base
