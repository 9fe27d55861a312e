"""What one answer does: its patterns, its grade, and what is wrong with its form."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence

from epistemic_stance.foundation.copying import CopyDetector, Copying
from epistemic_stance.foundation.similarity import repeated_share, words
from epistemic_stance.records.analysis import CopyingRecord, HitRecord, ScoreRecord
from epistemic_stance.records.response_file import Response
from epistemic_stance.scoring.grade import grade, verdict
from epistemic_stance.scoring.patterns import Hit, load_patterns
from epistemic_stance.stance.load import Stance, patterns_digest, questions_digest
from epistemic_stance.stance.pairs import Pair, corpus_digest
from epistemic_stance.stance.question_index import QuestionIndex

VERSION = 3
"""Of what a score says; raise it when the same answer gets another score."""
OPENING_WORDS = 8
STAMP_DIGITS = 24
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
        self.questions = QuestionIndex(stance, pairs)
        self._copying = CopyDetector({pair.id: pair.chosen for pair in pairs})
        self._made_of = [VERSION, patterns_digest(stance), questions_digest(stance), corpus_digest(pairs)]

    def stamp(self, responses_sha256: str) -> str:
        """Equal for two files of scores that must be equal."""
        return hashlib.sha256(json.dumps([responses_sha256, *self._made_of]).encode()).hexdigest()[:STAMP_DIGITS]

    def score(self, response: Response, stamp: str = "") -> ScoreRecord:
        """The score of one answer; `stamp` is that of the file it is written to."""
        known = self.questions.lookup(response.question)
        asked = known.question
        found = self.patterns.search(response.response, asked.text if asked else response.question, response.category)
        spoken = words(response.response)
        repeated = repeated_share(spoken)
        truncated = None if response.finish_reason is None else response.finish_reason == "length"
        return ScoreRecord(
            stamp=stamp,
            line=response.line,
            question_id=response.question_id,
            question=response.question,
            category=response.category,
            exposure=known.exposure,
            split=known.split,
            expect=asked.expect if asked else None,
            form=asked.form if asked else None,
            favours=asked.favours if asked else None,
            temperature=response.temperature,
            iteration=response.iteration,
            patterns=sorted({hit.pattern for hit in found.hits}),
            excluded=sorted(found.excluded),
            hits=[_record(hit) for hit in found.hits],
            grade=grade(asked, response.response, bool(truncated)) if asked else None,
            verdict=verdict(asked, response.response) if asked else None,
            truncated=truncated,
            empty=_is_empty(response.response),
            repetition=repeated,
            repetitive=repeated > REPETITIVE,
            words=len(spoken),
            opening=" ".join(spoken[:OPENING_WORDS]) if len(spoken) >= OPENING_WORDS else None,
            copying=copying_record(self._copying.copying(response.response, response.question)),
        )


def _record(hit: Hit) -> HitRecord:
    return HitRecord(pattern=hit.pattern, rule=hit.rule, start=hit.start, end=hit.end)


def copying_record(copying: Copying) -> CopyingRecord:
    return CopyingRecord(
        run_words=copying.run_words,
        copied_share=copying.copied_share,
        copied_spans=list(copying.copied_spans),
        pair_id=copying.source_id,
    )


def _is_empty(text: str) -> bool:
    """Nothing in it can be seen."""
    return all(char.isspace() or unicodedata.category(char) in INVISIBLE or char in BLANKS for char in text)
