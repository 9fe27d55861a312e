"""What is known of a question: is it one of the stance's, has the model seen it, and which half does it belong to?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epistemic_stance.foundation.similarity import SimilarTexts, question_key
from epistemic_stance.records.analysis import Exposure, Split
from epistemic_stance.records.written import Question
from epistemic_stance.stance.check_pairs import NEAR_QUESTION
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.stance.splits import splits_of


@dataclass(frozen=True)
class About:
    """Question None, and split with it: not a question of the stance."""

    exposure: Exposure
    split: Split | None
    question: Question | None


class QuestionBook:
    """The questions of a stance, found by their text, against the prompts of the corpus in use.

    By the text and not by an id: that would still be the same after the numbers in a question were changed.
    """

    def __init__(self, stance: Stance, pairs: Sequence[Pair]) -> None:
        self._pairs = {pair.id for pair in pairs}
        self._questions: dict[str, Question] = {}
        self._splits: dict[str, Split] = {}
        for questions in stance.question_sets.values():
            self._splits = splits_of(questions.questions) | self._splits
            self._questions = {question_key(one.text): one for one in questions.questions} | self._questions
        prompts = [pair.question for pair in pairs]
        self._corpus = SimilarTexts(prompts, NEAR_QUESTION)
        for prompt in prompts:
            self._corpus.add(prompt)
        self._known: dict[str, About] = {}

    def about(self, text: str) -> About:
        """Looked up once per question, however many answers it has."""
        if text not in self._known:
            key = question_key(text)
            question = self._questions.get(key)
            self._known[text] = About(self._exposure(text, question), self._splits.get(key), question)
        return self._known[text]

    def _exposure(self, text: str, question: Question | None) -> Exposure:
        """A paraphrase has most of the words of a prompt, or says itself which pair of the corpus it rewords."""
        match = self._corpus.find(text)
        if match is not None and match.exact:
            return "seen"
        declared = question is not None and question.paraphrase_of in self._pairs
        return "paraphrase" if match is not None or declared else "unseen"
