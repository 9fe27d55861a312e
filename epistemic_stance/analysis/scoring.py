"""What one answer does: its patterns, its grade, and what is wrong with its form."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from epistemic_stance.analysis.patterns import Hit, load_patterns
from epistemic_stance.analysis.responses import Response, question_key
from epistemic_stance.chat import Pair
from epistemic_stance.check import NEAR_QUESTION
from epistemic_stance.grading.grade import grade
from epistemic_stance.records.analysis import Exposure, HitRecord, ScoreRecord
from epistemic_stance.records.written import AnswerKey
from epistemic_stance.similarity import SimilarTexts, repeated_share, words
from epistemic_stance.stance import Stance

REPETITIVE = 0.2
"""Share of repeated word 4-grams above which an answer goes round in circles. Sound answers of up to 350 words stay
below a tenth (definitions that say "the square of the length of" three times); one sentence of three said twice gives
a quarter."""
INVISIBLE = ("Cc", "Cf")
"""Categories of Unicode: control characters and those that only format, as U+200B does."""
BLANKS = "\u034f\u115f\u1160\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
"""What counts as a mark or letter but shows nothing by itself: joiners, fillers, variation selectors."""


class Scorer:
    """Scores answers with the patterns and answer keys of a stance and the prompts of a corpus."""

    def __init__(self, stance: Stance, pairs: Sequence[Pair]) -> None:
        """Raises InputError if the stance has no patterns or one does not compile."""
        self.stance = stance
        self.pairs = pairs
        self.patterns = load_patterns(stance)
        self._keys = _answer_keys(stance)
        self._corpus = _corpus_of(pairs)
        self._questions: dict[str, tuple[Exposure, AnswerKey | None]] = {}

    def score(self, response: Response) -> ScoreRecord:
        exposure, key = self._about(response.question)
        hits = self.patterns.find(response.response, response.question, response.category)
        spoken = words(response.response)
        repeated = repeated_share(spoken)
        truncated = None if response.finish_reason is None else response.finish_reason == "length"
        return ScoreRecord(
            line=response.line,
            question_id=response.question_id,
            question=response.question,
            category=response.category,
            exposure=exposure,
            temperature=response.temperature,
            iteration=response.iteration,
            patterns=sorted({hit.pattern for hit in hits}),
            hits=[_record(hit) for hit in hits],
            grade=grade(key, response.response, response.question, truncated is True) if key else None,
            truncated=truncated,
            empty=_is_empty(response.response),
            repetition=repeated,
            repetitive=repeated > REPETITIVE,
            words=len(spoken),
        )

    def _about(self, question: str) -> tuple[Exposure, AnswerKey | None]:
        """What is known of a question; asked once per question, however many answers it has."""
        if question not in self._questions:
            match = self._corpus.find(question)
            exposure: Exposure = "unseen" if match is None else "seen" if match.exact else "paraphrase"
            self._questions[question] = exposure, self._keys.get(question_key(question))
        return self._questions[question]


def _record(hit: Hit) -> HitRecord:
    return HitRecord(pattern=hit.pattern, rule=hit.rule, start=hit.start, end=hit.end)


def _answer_keys(stance: Stance) -> dict[str, AnswerKey]:
    """Keys by the question itself: an id would still be the same after the numbers in its question were changed."""
    questions = (question for questions in stance.question_sets.values() for question in questions.questions)
    return {question_key(question.text): question.answer for question in questions if question.answer}


def _is_empty(text: str) -> bool:
    """Nothing in it can be seen."""
    return all(char.isspace() or unicodedata.category(char) in INVISIBLE or char in BLANKS for char in text)


def _corpus_of(pairs: Iterable[Pair]) -> SimilarTexts:
    prompts = [pair.question for pair in pairs]
    corpus = SimilarTexts(prompts, NEAR_QUESTION)
    for prompt in prompts:
        corpus.add(prompt)
    return corpus
