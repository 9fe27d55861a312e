"""Look up a question by its text: which question of the stance it is, which half it belongs to, was it trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epistemic_stance.foundation.similarity import SimilarTexts, question_key
from epistemic_stance.records.analysis import Exposure, Split
from epistemic_stance.records.written import Question
from epistemic_stance.stance.findings import NEAR_QUESTION
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.stance.splits import splits_of


@dataclass(frozen=True)
class KnownQuestion:
    """What is known of a question. `question` and `split` are None if the stance does not have it."""

    exposure: Exposure
    split: Split | None
    question: Question | None


class QuestionIndex:
    """The questions of a stance by their text, and how near each is to the prompts of the corpus in use.

    With or without the instruction of its category a question is the same question.
    By the text and not by an id: an id stays the same when the wording of its question is changed.
    """

    def __init__(self, stance: Stance, pairs: Sequence[Pair]) -> None:
        self._pair_ids = {pair.id for pair in pairs}
        self._questions: dict[str, Question] = {}
        self._splits: dict[str, Split] = {}
        for question_set in stance.question_sets.values():  # where two sets have a question, the first decides
            self._splits = splits_of(question_set.questions) | self._splits
            for question in question_set.questions:
                for text in (question.text, question_set.prompt(question)):
                    self._questions.setdefault(question_key(text), question)
        self._prompts = SimilarTexts(NEAR_QUESTION, [pair.question for pair in pairs])
        self._lookups: dict[str, KnownQuestion] = {}

    def lookup(self, text: str) -> KnownQuestion:
        """What is known of the question with this text; worked out once per text."""
        if text not in self._lookups:
            question = self._questions.get(question_key(text))
            bare = question.text if question else text
            split = self._splits.get(question_key(bare))
            self._lookups[text] = KnownQuestion(self._exposure(bare, question), split, question)
        return self._lookups[text]

    def _exposure(self, text: str, question: Question | None) -> Exposure:
        """A paraphrase shares most words with a prompt, or names a pair of the corpus as the one it rewords."""
        match = self._prompts.find(text)
        if match is not None and match.exact:
            return "seen"
        declared = question is not None and question.paraphrase_of in self._pair_ids
        return "paraphrase" if match is not None or declared else "unseen"
