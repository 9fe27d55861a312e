"""What the answers do while the loss falls: did the model shift, does it parrot, is it broken, or none of it?

Loss and accuracy cannot tell: plain DPO on a few pairs reaches loss 0 and accuracy 1 while unseen questions are
answered as before ("satisfied without shifting"), and a model that recites its chosen answers has the same
numbers. So at every checkpoint a few unseen questions are answered and their words are compared with the base
model's answers and with the corpus (`wording.py`); `verdict.py` judges.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from epistemic_stance.foundation.similarity import words
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import Decoder, generate, generate_in_memory
from epistemic_stance.models.products import multiplying_by
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request
from epistemic_stance.records.training import BaseAnswers, CheckpointEvaluationRecord, NeutralAnswer
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.training.packing import answer_logps
from epistemic_stance.training.verdict import AnswerComparer, judge
from epistemic_stance.training.wording import WordingScale

ANSWER_TOKENS = 80
NEUTRAL_QUESTIONS = 8
TIMED_TOKENS = 4

OnProgress = Callable[[int, int], None]
"""Tokens done, and tokens at most."""


@dataclass(frozen=True)
class EvalQuestions:
    """What is asked at every checkpoint: id and text of each question."""

    unseen: list[tuple[str, str]]
    """Taken in turn from the categories of the stance's first question set."""
    neutral: list[tuple[str, str]]
    """Questions with an answer key: the stance has nothing to say about them, so they should stay as they are."""


def choose_questions(stance: Stance, pairs: Sequence[Pair], count: int) -> EvalQuestions:
    """Unseen questions only: one that the corpus trains on is left out."""
    seen = {" ".join(words(pair.question)) for pair in pairs}
    sets = [
        [question for question in question_set.questions if " ".join(words(question.text)) not in seen]
        for question_set in stance.question_sets.values()
    ]
    by_category: dict[str, list[tuple[str, str]]] = {}
    for question in sets[0] if sets else []:
        by_category.setdefault(question.category, []).append((question.id, question.text))
    longest = max((len(group) for group in by_category.values()), default=0)
    in_turn = [group[turn] for turn in range(longest) for group in by_category.values() if turn < len(group)]
    neutral = [(question.id, question.text) for questions in sets for question in questions if question.answer]
    return EvalQuestions(in_turn[:count], neutral[:NEUTRAL_QUESTIONS] if count else [])


@dataclass(frozen=True)
class EvaluationSeconds:
    """What checkpoint evaluation is expected to take if every answer runs to its full length."""

    base: float
    """Of the base model's answers, before the first step, those of an anchor included."""
    checkpoint: float
    """Of one checkpoint."""


def time_answering(decoder: Decoder, prompt_ids: Sequence[int], rows: int) -> tuple[float, float]:
    """Seconds that a token of a prompt takes, and one more token of so many answers side by side."""
    endless = replace(decoder, stop_ids={decoder.model.config.get_text_config().vocab_size})

    def timed(tokens: int) -> float:
        started = time.perf_counter()
        requests = [Request(tuple(prompt_ids), 0.0, 0, tokens)] * rows
        generate(endless, requests, SamplingConfig(tokens), slots=rows)
        return time.perf_counter() - started

    prefill = timed(1)
    step = max(timed(1 + TIMED_TOKENS) - prefill, 0.0) / TIMED_TOKENS
    if decoder.why_plain is not None:
        prefill /= rows  # the plain path computes the prompt of every row
    return prefill / len(prompt_ids), step


@dataclass(frozen=True)
class CheckpointEvaluation:
    """Asks the questions of the model in training and compares the answers with the base model's."""

    decoder: Decoder
    """Over the model in training, whose weights change between two evaluations."""
    questions: EvalQuestions
    pairs: Sequence[Pair]
    scale: WordingScale
    system_prompt: str | None

    def base_answers(self, on_progress: OnProgress) -> BaseAnswers:
        """The base model's answers; neutral questions are sampled at temperature 1, as the KL estimate needs."""
        unseen = [self._request(text, 0.0, 0) for _, text in self.questions.unseen]
        neutral = [self._request(text, 1.0, seed) for seed, (_, text) in enumerate(self.questions.neutral)]
        answers = self._answers([*unseen, *neutral], on_progress)
        kept = []
        for request, answer in zip(neutral, answers[len(unseen) :], strict=True):
            ids = [*answer.token_ids, *([] if answer.end_id is None else [answer.end_id])]
            if ids:
                prompt = list(request.prompt_ids)
                kept.append(NeutralAnswer(prompt_ids=prompt, answer_ids=ids, base_logps=self._logps(prompt, ids)))
        return BaseAnswers(
            questions=[text for _, text in self.questions.unseen],
            answers=[self.decoder.text(answer) for answer in answers[: len(unseen)]],
            neutral=kept,
            products=self.decoder.products,
        )

    def evaluate(self, base: BaseAnswers, on_progress: OnProgress) -> CheckpointEvaluationRecord:
        """Answer the questions with the model as it is now and judge."""
        requests = [self._request(text, 0.0, 0) for _, text in self.questions.unseen]
        texts = [self.decoder.text(answer) for answer in self._answers(requests, on_progress)]
        comparer = AnswerComparer(self.pairs, self.scale)
        records = [
            comparer.record(question_id, question, text, base_text)
            for (question_id, question), text, base_text in zip(self.questions.unseen, texts, base.answers, strict=True)
        ]
        return judge(records, self._kl_neutral(base))

    def seconds(self) -> EvaluationSeconds:
        """How long it will take, from a few tokens of answers to one of the questions."""
        prompts = [encode_question(self.decoder.tokenizer, text, self.system_prompt) for _, text in self._all]
        rows = len(self.questions.unseen)
        token, step = time_answering(self.decoder, prompts[0], rows)
        asked, neutral = (token * sum(map(len, part)) for part in (prompts[:rows], prompts[rows:]))
        kl = neutral + token * ANSWER_TOKENS * len(prompts[rows:])
        answers = step * (ANSWER_TOKENS - 1)
        return EvaluationSeconds(asked + neutral + answers * len(prompts) / rows + kl, asked + answers + kl)

    @property
    def _all(self) -> list[tuple[str, str]]:
        return [*self.questions.unseen, *self.questions.neutral]

    def _request(self, question: str, temperature: float, seed: int) -> Request:
        prompt = encode_question(self.decoder.tokenizer, question, self.system_prompt)
        return Request(tuple(prompt), temperature, seed, ANSWER_TOKENS)

    def _answers(self, requests: Sequence[Request], on_progress: OnProgress) -> list[Finished]:
        """All requests side by side."""
        most = ANSWER_TOKENS * len(requests)
        answers, _ = generate_in_memory(
            self.decoder,
            requests,
            SamplingConfig(ANSWER_TOKENS),
            slots=len(requests),
            on_step=lambda tokens: on_progress(tokens, most),
        )
        return answers

    def _kl_neutral(self, base: BaseAnswers) -> float | None:
        """KL(base || policy) per token on tokens the base sampled: mean of r - 1 - log r, r = policy / base.

        Unbiased and never negative (the k3 estimator of Schulman, "Approximating KL divergence", 2020).
        """
        ratios = [
            policy - reference
            for answer in base.neutral
            for policy, reference in zip(
                self._logps(answer.prompt_ids, answer.answer_ids), answer.base_logps, strict=True
            )
        ]
        return fmean(math.exp(min(ratio, 50.0)) - 1 - ratio for ratio in ratios) if ratios else None

    @torch.no_grad()
    def _logps(self, prompt_ids: list[int], answer_ids: list[int]) -> list[float]:
        with multiplying_by(self.decoder.model, self.decoder.products):
            logps: list[float] = answer_logps(self.decoder.model, prompt_ids, answer_ids).tolist()
        return logps
