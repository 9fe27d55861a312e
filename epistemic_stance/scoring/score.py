"""What one answer does: its patterns, its grade, and what is wrong with its form."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.settings import SplitChoice
from epistemic_stance.foundation.similarity import repeated_share, words
from epistemic_stance.records.analysis import Grade, HitRecord, ScoreRecord, Verdict
from epistemic_stance.records.response_file import Response, ResponseFile
from epistemic_stance.records.written import AnswerKey, Question
from epistemic_stance.scoring.grading.grade import grade
from epistemic_stance.scoring.grading.verdicts import verdict_of
from epistemic_stance.scoring.patterns import Hit, load_patterns
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.stance.question_index import QuestionIndex

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
        self.book = QuestionIndex(stance, pairs)

    def score(self, response: Response) -> ScoreRecord:
        about = self.book.lookup(response.question)
        asked = about.question
        hits = self.patterns.find(response.response, response.question, response.category)
        spoken = words(response.response)
        repeated = repeated_share(spoken)
        truncated = None if response.finish_reason is None else response.finish_reason == "length"
        return ScoreRecord(
            line=response.line,
            question_id=response.question_id,
            question=response.question,
            category=response.category,
            exposure=about.exposure,
            split=about.split,
            expect=asked.expect if asked else None,
            form=asked.form if asked else None,
            favours=asked.favours if asked else None,
            temperature=response.temperature,
            iteration=response.iteration,
            patterns=sorted({hit.pattern for hit in hits}),
            hits=[_record(hit) for hit in hits],
            grade=_grade(asked, asked.answer, response) if asked and asked.answer else None,
            verdict=_verdict(asked, response) if asked else None,
            truncated=truncated,
            empty=_is_empty(response.response),
            repetition=repeated,
            repetitive=repeated > REPETITIVE,
            words=len(spoken),
        )


def _grade(question: Question, key: AnswerKey, response: Response) -> Grade:
    truncated = response.finish_reason == "length"
    return grade(key, response.response, response.question, truncated, question.form)


def _verdict(question: Question, response: Response) -> Verdict | None:
    """Of a question that is neither put with a view nor about a tendency it is not asked: not all are of yes or no."""
    if question.form or question.favours:
        return verdict_of(response.response, response.question, question.form)
    return None


def of_split(file: ResponseFile, split: SplitChoice, book: QuestionIndex) -> ResponseFile:
    """The file with the answers to one half of the questions, and a notice that says so.

    Raises InputError if it has none of them: only questions of the stance belong to a half.
    """
    if split == "all":
        return file
    kept = [response for response in file.responses if book.lookup(response.question).split == split]
    if not kept:
        what = f"no answer in it is to a {split} question of the stance"
        raise InputError([Problem(str(file.path), what, hint="leave --split out, or name the stance with --stance")])
    notice = f"{split} questions only: {len(kept)} of the {len(file.responses)} answers in {file.path.name}"
    return replace(file, responses=kept, notices=[*file.notices, notice])


def _record(hit: Hit) -> HitRecord:
    return HitRecord(pattern=hit.pattern, rule=hit.rule, start=hit.start, end=hit.end)


def _is_empty(text: str) -> bool:
    """Nothing in it can be seen."""
    return all(char.isspace() or unicodedata.category(char) in INVISIBLE or char in BLANKS for char in text)
