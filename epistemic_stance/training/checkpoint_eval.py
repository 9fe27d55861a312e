"""What the answers do while the loss falls: did the model shift, does it parrot, or did neither happen?

Loss and accuracy cannot tell: plain DPO on a few pairs reaches loss 0 and accuracy 1 while unseen questions are
answered as before ("satisfied without shifting"), and a model that recites its chosen answers has the same
numbers. So at every checkpoint a few unseen questions are answered and their words are compared with the base
model's answers and with the corpus. No pattern list is needed: the corpus itself says where the stance points.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch

from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.foundation.similarity import repetition, words
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.records.training import AnswerRecord, NeutralAnswer, WatchBase, WatchRecord
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.statistics.estimates import mean_estimate
from epistemic_stance.training.packing import answer_logps

PARROT_SHARE = 0.30
"""Copied share of unseen answers above which the model recites. Recipes that memorise reach 0.4 and more."""
SHIFT_SHARE = 0.20
"""Least share of unseen answers that have to cross from the rejected to the chosen side to be called a shift."""
ANSWER_TOKENS = 80
NEUTRAL_QUESTIONS = 8
FOLDS = 5


def grams_of(text: str) -> Counter[tuple[str, ...]]:
    """Word 1- and 2-grams."""
    tokens = words(text)
    return Counter([(token,) for token in tokens]) + Counter(pairwise(tokens))


def distance(first: str, second: str) -> float:
    """1 - cosine similarity of word 1- and 2-gram counts."""
    a, b = grams_of(first), grams_of(second)
    norm = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return 1 - sum(n * b[gram] for gram, n in a.items()) / norm if norm else float(a != b)


class Lean:
    """Where a text leans between the rejected and the chosen answers of a corpus, by its words.

    Mean log-odds of its 1- and 2-grams (naive Bayes, add one half), scaled so that 1 is the distance between
    held-out chosen and rejected answers. A difference of 0.5 is half the way from rejected to chosen wording.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._odds = _log_odds(pairs)
        chosen, rejected = [], []
        for fold in range(min(FOLDS, len(pairs))):
            kept = [pair for index, pair in enumerate(pairs) if index % FOLDS != fold]
            odds = _log_odds(kept)
            held_out = [pair for index, pair in enumerate(pairs) if index % FOLDS == fold]
            chosen += [_mean_odds(odds, pair.chosen) for pair in held_out]
            rejected += [_mean_odds(odds, pair.rejected) for pair in held_out]
        self.gap = fmean(chosen) - fmean(rejected)
        """Unscaled distance of held-out chosen from rejected answers; not above 0 = words cannot tell them apart."""

        self.midpoint = (fmean(chosen) + fmean(rejected)) / 2 / self.gap if self.gap else 0.0
        """Halfway between held-out rejected and chosen answers, on the scale of the lean."""

    def __call__(self, text: str) -> float:
        return _mean_odds(self._odds, text) / self.gap

    def reached(self, text: str) -> float:
        """The chosen wording alone, on the same scale: words that lean to the rejected answers count as 0."""
        return _mean_odds({gram: max(odds, 0.0) for gram, odds in self._odds.items()}, text) / self.gap


def _log_odds(pairs: Sequence[Pair]) -> dict[tuple[str, ...], float]:
    chosen: Counter[tuple[str, ...]] = Counter()
    rejected: Counter[tuple[str, ...]] = Counter()
    for pair in pairs:
        chosen.update(grams_of(pair.chosen))
        rejected.update(grams_of(pair.rejected))
    total_chosen, total_rejected = chosen.total(), rejected.total()
    return {
        gram: math.log((chosen[gram] + 0.5) / (total_chosen + 1))
        - math.log((rejected[gram] + 0.5) / (total_rejected + 1))
        for gram in chosen | rejected
    }


def _mean_odds(odds: dict[tuple[str, ...], float], text: str) -> float:
    grams = grams_of(text)
    return sum(n * odds.get(gram, 0.0) for gram, n in grams.items()) / max(grams.total(), 1)


@dataclass(frozen=True)
class WatchPlan:
    """What is asked at every checkpoint."""

    questions: list[tuple[str, str]]
    """(id, text), taken in turn from the categories of the stance's first question set."""
    neutral: list[tuple[str, str]]
    """Questions with an answer key: the stance has nothing to say about them, so they should stay as they are."""


def plan_watch(stance: Stance, pairs: Sequence[Pair], count: int) -> WatchPlan:
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
    return WatchPlan(in_turn[:count], neutral[:NEUTRAL_QUESTIONS] if count else [])


@dataclass(frozen=True)
class Watch:
    """Asks the plan's questions of the model in training and compares with what the base model said."""

    plan: WatchPlan
    pairs: Sequence[Pair]
    lean: Lean
    tokenizer: Any
    system_prompt: str | None
    stop_ids: set[int]

    def _ask(
        self, model: Any, questions: Sequence[tuple[str, str]], temperature: float = 0.0
    ) -> list[tuple[list[int], Any]]:
        prompts = [encode_question(self.tokenizer, text, self.system_prompt) for _, text in questions]
        if not prompts:
            return []
        answers = generate_batch(
            model,
            prompts,
            stop_ids=self.stop_ids,
            max_new_tokens=ANSWER_TOKENS,
            temperature=temperature,
        )
        return list(zip(prompts, answers, strict=True))

    def _text(self, answer: Any) -> str:
        return str(self.tokenizer.decode(answer.token_ids, skip_special_tokens=True)).strip()

    def ask_base(self, model: Any) -> WatchBase:
        """The base model's answers; neutral questions are sampled at temperature 1, as the KL estimate needs."""
        answers = [self._text(answer) for _, answer in self._ask(model, self.plan.questions)]
        neutral = []
        for prompt, answer in self._ask(model, self.plan.neutral, temperature=1.0):
            ids = [*answer.token_ids, *([] if answer.end_id is None else [answer.end_id])]
            if ids:
                logps = _no_grad_logps(model, prompt, ids)
                neutral.append(NeutralAnswer(prompt_ids=prompt, answer_ids=ids, base_logps=logps))
        return WatchBase(questions=[text for _, text in self.plan.questions], answers=answers, neutral=neutral)

    def look(self, model: Any, base: WatchBase) -> WatchRecord:
        """Answer the questions with the model as it is now and judge."""
        sources = [pair.chosen for pair in self.pairs]
        detector = CopyDetector({pair.id: pair.chosen for pair in self.pairs})
        answers = []
        asked = self._ask(model, self.plan.questions)
        for (question_id, question), (_, answer), base_answer in zip(
            self.plan.questions, asked, base.answers, strict=True
        ):
            answers.append(
                AnswerRecord(
                    question_id=question_id,
                    question=question,
                    answer=self._text(answer),
                    base_answer=base_answer,
                    distance_from_base=distance(self._text(answer), base_answer),
                    distance_from_chosen=min(distance(self._text(answer), source) for source in sources),
                    lean=self.lean(self._text(answer)),
                    base_lean=self.lean(base_answer),
                    crossed=self.lean(base_answer) <= self.lean.midpoint < self.lean(self._text(answer)),
                    reached=self.lean.reached(self._text(answer)),
                    base_reached=self.lean.reached(base_answer),
                    copied=detector.copying(self._text(answer), question).copied_share,
                    repetition=repetition(self._text(answer)),
                )
            )
        return judge(answers, self._kl_neutral(model, base))

    def _kl_neutral(self, model: Any, base: WatchBase) -> float | None:
        """KL(base || policy) per token on tokens the base sampled: mean of r - 1 - log r, r = policy / base.

        Unbiased and never negative (the k3 estimator of Schulman, "Approximating KL divergence", 2020).
        """
        ratios = [
            policy - reference
            for answer in base.neutral
            for policy, reference in zip(
                _no_grad_logps(model, answer.prompt_ids, answer.answer_ids), answer.base_logps, strict=True
            )
        ]
        return fmean(math.exp(min(ratio, 50.0)) - 1 - ratio for ratio in ratios) if ratios else None


@torch.no_grad()
def _no_grad_logps(model: Any, prompt_ids: list[int], answer_ids: list[int]) -> list[float]:
    logps: list[float] = answer_logps(model, prompt_ids, answer_ids).tolist()
    return logps


def judge(answers: Sequence[AnswerRecord], kl_neutral: float | None) -> WatchRecord:
    """Shifted, parrots or neither, with the figures in the reason."""
    change = mean_estimate([answer.lean - answer.base_lean for answer in answers])
    reached = fmean(answer.reached - answer.base_reached for answer in answers)
    copied = fmean(answer.copied for answer in answers)
    within = "no interval: one question"
    if change.low is not None:
        within = f"95 % interval {change.low:+.2f} to {change.high:+.2f}"
    crossed = sum(answer.crossed for answer in answers)
    moved = f"{crossed} of {len(answers)} unseen answers crossed to the chosen wording, {copied:.0%} copied "
    moved += f"(moved {change.value:+.2f}, {within}; 1 = from rejected to chosen)"
    if copied > PARROT_SHARE:
        verdict, reason = "parrots", f"{copied:.0%} of the words of unseen answers are copied from chosen answers"
    elif change.low is None or change.low <= 0 or crossed < SHIFT_SHARE * len(answers):
        verdict, reason = "neither", f"no shift is shown: {moved}"
    elif reached <= 0:
        verdict, reason = "neither", f"rejected wording is left, chosen wording not reached, read the answers: {moved}"
    else:
        verdict, reason = "shifted", moved
    return WatchRecord(
        verdict=verdict,
        reason=reason,
        crossed=crossed / len(answers),
        lean_change=change.value,
        lean_change_low=change.low,
        lean_change_high=change.high,
        reached_change=reached,
        distance_from_base=fmean(answer.distance_from_base for answer in answers),
        distance_from_chosen=fmean(answer.distance_from_chosen for answer in answers),
        copied=copied,
        repetition=fmean(answer.repetition for answer in answers),
        kl_neutral=kl_neutral,
        answers=list(answers),
    )
