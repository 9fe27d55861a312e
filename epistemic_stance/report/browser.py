"""Answers to look at: the base model's beside the checkpoint's, with what the rules matched and what was copied."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from epistemic_stance.evaluation.learning import is_parroted, null_of
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.foundation.terminal import visible
from epistemic_stance.records.analysis import CopyingRecord, ScoreRecord
from epistemic_stance.records.response_file import Response, read_responses
from epistemic_stance.report.figures import counted
from epistemic_stance.report.gather import AnsweredSet, Material, ValidatedModel
from epistemic_stance.scoring.run import stored_scores

MOST_BYTES = 5_000_000
"""Of answers in the page, so that with all else it stays below six million."""
GRADES = ("right", "wrong", "unparsed")


@dataclass(frozen=True)
class Side:
    """One answer."""

    response: Response
    score: ScoreRecord | None
    copying: CopyingRecord | None
    """None: not scored, or with other pairs than those that the model was trained on."""
    parroted: bool = False


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one question, asked alike."""

    question_set: str
    before: Side
    after: Side

    @property
    def key(self) -> tuple[str, str]:
        return self.question_set, question_key(self.after.response.question)


@dataclass(frozen=True)
class Answers:
    """What the page holds, as JSON that is safe inside a script element, and what to say about it."""

    data: str
    notes: list[str]
    shown: int
    pairs: list[AnswerPair]
    """All, shown or not."""


def browsed(material: Material, sample: int, seed: int) -> Answers | None:
    """At most `sample` pairs of answers, every question once before any twice; None without answers of both models."""
    base, subject = material.base, material.subject
    if base is None or subject is None:
        return None
    notes: list[str] = []
    pairs: list[AnswerPair] = []
    for name in sorted(base.sets.keys() & subject.sets.keys(), key=lambda name: (name not in material.raising, name)):
        sides = [_placed(_sides(model.sets[name], material, notes)) for model in (base, subject)]
        pairs += [AnswerPair(name, sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1]]
    pairs = _with_parroted(pairs)
    if not pairs:
        return None
    data, shown = _data(_drawn(pairs, sample, seed), base, subject)
    notes.insert(0, _how_many(shown, len(pairs), seed, full=shown < min(sample, len(pairs))))
    return Answers(data, list(dict.fromkeys(notes)), shown, pairs)


# --- reading -----------------------------------------------------------------------------------------------


def _sides(answered: AnsweredSet, material: Material, notes: list[str]) -> list[Side]:
    """The answers of one model to one set, with their scores where the analysis counted them."""
    responses = read_responses(answered.files.responses).responses
    analysis = answered.analysis
    scores = stored_scores(answered.files.scores, analysis.scores, len(responses)) if analysis else None
    if analysis is None or scores is None:
        place = f"{answered.files.responses.parents[1].name}/{answered.files.responses.parent.name}"
        notes.append(f"{place} has no scores, so nothing is marked in it: stance analyze makes them.")
        return [Side(response, None, None) for response in responses]
    if material.run is None or material.run.corpus_digest != analysis.corpus_digest:
        notes.append("The answers were not scored with the pairs of the run, so copied words are not marked.")
        return [Side(response, score, None) for response, score in zip(responses, scores, strict=True)]
    return [Side(response, score, score.copying) for response, score in zip(responses, scores, strict=True)]


def _with_parroted(pairs: list[AnswerPair]) -> list[AnswerPair]:
    """With those marked that recite, against what the base model reaches by chance in all of these answers."""
    base = [pair.before.copying for pair in pairs if pair.before.copying]
    if not base:
        return pairs
    null = null_of(base)

    def marked(side: Side) -> Side:
        return replace(side, parroted=side.copying is not None and is_parroted(side.copying, null))

    return [replace(pair, before=marked(pair.before), after=marked(pair.after)) for pair in pairs]


def _placed(sides: Sequence[Side]) -> dict[tuple[Any, ...], Side]:
    placed: dict[tuple[Any, ...], Side] = {}
    for side in sides:
        response = side.response
        asked = (question_key(response.question), response.temperature, response.iteration)
        number = 0
        while (*asked, number) in placed:
            number += 1
        placed[*asked, number] = side
    return placed


# --- choosing and writing ----------------------------------------------------------------------------------


def _drawn(pairs: Sequence[AnswerPair], sample: int, seed: int) -> list[tuple[int, AnswerPair]]:
    """At most `sample`, each with its place among all, at random: all questions once, then all a second time, ..."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)  # noqa: S311 - a sample, no secret
    rounds: dict[tuple[str, str], int] = {}
    drawn: list[tuple[int, int, int]] = []
    for place in order:
        key = pairs[place].key
        rounds[key] = rounds.get(key, 0) + 1
        drawn.append((rounds[key], len(drawn), place))
    return [(place, pairs[place]) for _, _, place in sorted(drawn)[:sample]]


def _data(drawn: Sequence[tuple[int, AnswerPair]], base: ValidatedModel, subject: ValidatedModel) -> tuple[str, int]:
    """JSON of as many pairs as fit into the page, in the order of the files, and how many those are."""
    index = _Index(subject)
    lines: list[tuple[int, str]] = []
    size = 0
    for place, pair in drawn:
        line = _safe(index.pair(pair))
        size += len(line)
        if size > MOST_BYTES:
            break
        lines.append((place, line))
    body = ",\n".join(line for _, line in sorted(lines))
    head = _safe({"names": [base.name, subject.name], **index.tables})
    return f'{head[:-1]},"pairs":[\n{body}]}}', len(lines)


def _how_many(shown: int, total: int, seed: int, full: bool) -> str:
    if shown == total:
        return f"All {counted(total, 'pair')} of answers are shown."
    why = ", as many as fit into a page" if full else ""
    return (
        f"{shown:,} of {total:,} pairs of answers are shown{why}, drawn at random with seed {seed}: every question "
        "once before any a second time. The files of answers hold them all."
    )


class _Index:
    """Texts that occur often, once each; the pairs hold their numbers."""

    def __init__(self, subject: ValidatedModel) -> None:
        self._numbers: dict[str, dict[Any, int]] = {
            name: {} for name in ("sets", "categories", "exposures", "patterns", "measures", "questions")
        }
        self._groups: dict[str, str] = {}
        self._flips: dict[tuple[str, str], list[str]] = {}
        for name, files in subject.sets.items():
            for measure in files.analysis.measures if files.analysis else ():
                if measure.kind == "pattern":
                    self._groups[measure.name] = measure.group or ""
            for flip in files.comparison.flips if files.comparison else ():
                self._flips.setdefault((name, question_key(flip.question)), []).append(flip.measure)

    def _number(self, table: str, value: Any) -> int:
        return self._numbers[table].setdefault(value, len(self._numbers[table]))

    @property
    def tables(self) -> Mapping[str, Any]:
        result: dict[str, Any] = {name: list(numbers) for name, numbers in self._numbers.items()}
        result["groups"] = [self._groups.get(pattern, "") for pattern in self._numbers["patterns"]]
        return result

    def pair(self, pair: AnswerPair) -> list[Any]:
        """Set, category, exposure, question, flips, temperature, iteration, and both answers."""
        response = pair.after.response
        exposure = pair.after.score.exposure if pair.after.score else "unknown"
        flips = sorted({self._number("measures", name) for name in self._flips.get(pair.key, ())})
        return [
            self._number("sets", pair.question_set),
            self._number("categories", visible(response.category)),
            self._number("exposures", exposure),
            self._number("questions", visible(response.question)),
            flips,
            response.temperature,
            response.iteration,
            self._side(pair.before),
            self._side(pair.after),
        ]

    def _side(self, side: Side) -> list[Any]:
        """Text, grade or -1, whether parroted, hits as [pattern, start, end] and copied words as [start, end]."""
        text = side.response.response
        hits = side.score.hits if side.score else []
        copied = side.copying.copied_spans if side.copying else ()
        grade = GRADES.index(side.score.grade) if side.score and side.score.grade else -1
        return [
            visible(text),
            grade,
            int(side.parroted),
            [[self._number("patterns", hit.pattern), _place(text, hit.start), _place(text, hit.end)] for hit in hits],
            [[_place(text, start), _place(text, end)] for start, end in copied],
        ]


def _place(text: str, end: int) -> int:
    """Where a place of the text is in what is shown of it, counted as JavaScript counts: in UTF-16 units."""
    before = text[:end]
    return end if before.isascii() and before.isprintable() else len(visible(before).encode("utf-16-le")) // 2


def _safe(value: Any) -> str:
    """JSON in ASCII in which nothing can end a script element or open a comment."""
    text = dump_json(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
