"""`stance compare`: what changed between two models' answers to the same questions, paired by question."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.comparability import (
    describe_side,
    find_differences,
    find_notices,
    match_questions,
    require_alike,
    unknown_fields,
)
from epistemic_stance.evaluation.correction import FileLabels, labelled_counts, read_all_labels
from epistemic_stance.evaluation.rates import EXPOSURES, MOST_PARTS
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import require_folder
from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import CompareSettings
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import Exposure
from epistemic_stance.records.comparison import (
    AnswerPairRecord,
    ChangeRecord,
    ComparisonRecord,
    CorrectedChangeRecord,
    FlipRecord,
    MeasureRecord,
    Verdict,
)
from epistemic_stance.records.response_file import ResponseFile, corpus_notice
from epistemic_stance.records.run_folder import AnswerFiles, write_record
from epistemic_stance.scoring.measures import PRAGMATIC_ONLY, Measure, measures_of
from epistemic_stance.scoring.run import Answer, ScoredFile, scored
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import corpus_name, load_stance_and_pairs
from epistemic_stance.stance.pairs import corpus_digest
from epistemic_stance.statistics.changes import Change, PairedChange, paired_changes
from epistemic_stance.statistics.detector import Refused, corrected_changes
from epistemic_stance.statistics.estimates import IntArray


@dataclass(frozen=True)
class ComparedQuestion:
    """A question with every answer of both sides. Category and id are BEFORE's, where it has one."""

    question_id: str | None
    question: str
    category: str
    exposure: Exposure
    before: list[Answer]
    after: list[Answer]


def run(settings: CompareSettings, reporter: Reporter) -> ComparisonRecord:
    """Compare two files of answers and write comparison.json.

    Raises InputError for files that cannot be read or share no question, and RefusedError for sides that were not
    asked alike; nothing is written then.
    """
    record, after = _compare(settings, reporter)
    path = comparison_path(after, settings.output)
    write_record(path, record)
    return record


def comparison_path(after: Path, folder: Path | None = None) -> Path:
    """comparison.json beside the answers of AFTER, or in `folder`."""
    beside = AnswerFiles(after).comparison
    return folder / beside.name if folder else beside


def _compare(settings: CompareSettings, reporter: Reporter) -> tuple[ComparisonRecord, Path]:
    for flag, value in (("--pairs", settings.pairs), ("--seed", settings.seed)):
        if value < 0:
            raise InputError([Problem("command line", f"expected 0 or more, found {value}", field=flag)])
    if settings.output is not None:
        require_folder(settings.output, "--output")
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    scorer = Scorer(stance, pairs)
    before, after = (scored(path, scorer, reporter, settings.split) for path in (settings.before, settings.after))
    _require_not_an_input(comparison_path(after.file.path, settings.output), before.file.path, after.file.path)
    matched = match_questions(before.file, after.file)
    differences = find_differences(before.file, after.file, matched)
    if not settings.allow_different:
        require_alike(differences)
    questions = compared_questions(before, after, scorer)
    measures = measures_of(scorer.patterns.patterns)
    labels = [
        read_all_labels(replace(side, answers=counted), settings.labels, scorer)
        for side, counted in (
            (before, [answer for question in questions for answer in question.before]),
            (after, [answer for question in questions for answer in question.after]),
        )
    ]
    record = ComparisonRecord(
        stance=stance.name,
        corpus=corpus_name(stance, settings.corpus),
        corpus_digest=corpus_digest(pairs),
        seed=settings.seed,
        split=settings.split,
        before=describe_side(before.file, [sides[0] for sides in matched.common.values()]),
        after=describe_side(after.file, [sides[1] for sides in matched.common.values()]),
        differences=differences,
        unknown=unknown_fields(before.file, after.file),
        notices=[
            *find_notices(before.file, after.file, matched),
            *_corpus_notices(before.file, after.file, corpus_digest(pairs)),
            *_label_notices(labels),
        ],
        questions=len(questions),
        only_before=matched.only_before,
        only_after=matched.only_after,
        measures=compare_measures(questions, measures, settings.seed, labels),
        flips=find_flips(questions, measures),
        pairs=draw_pairs(questions, settings.pairs, settings.seed),
    )
    return record, after.file.path


def _corpus_notices(before: ResponseFile, after: ResponseFile, digest: str) -> list[str]:
    result = [(file.path, corpus_notice(file, digest)) for file in (before, after)]
    return [f"{path}: {notice}" for path, notice in result if notice]


def _label_notices(labels: Sequence[FileLabels | None]) -> list[str]:
    sides = zip(("BEFORE", "AFTER"), labels, strict=True)
    return [f"{side}: {notice}" for side, each in sides if each for notice in each.notices]


def _require_not_an_input(output: Path, *inputs: Path) -> None:
    for path in inputs:
        if path.resolve() in (output.resolve(), output.with_suffix(".md").resolve()):
            raise RefusedError(f"{path} is one of the inputs and would be overwritten", "give --output FOLDER")


def compared_questions(before: ScoredFile, after: ScoredFile, scorer: Scorer) -> list[ComparedQuestion]:
    """The common questions, by their text, so that the order of lines in a file decides nothing."""
    first, second = answers_by_question(before.answers), answers_by_question(after.answers)
    questions = []
    for key in sorted(first.keys() & second.keys()):
        leading = first[key][0]
        category = leading.response.category
        sides = [sorted(side, key=_place_in_plan) for side in (first[key], second[key])]
        same_before, same_after = ([_in_category(answer, category, scorer) for answer in side] for side in sides)
        identifier = leading.response.question_id or second[key][0].response.question_id
        exposure = same_before[0].score.exposure
        questions.append(
            ComparedQuestion(identifier, leading.response.question, category, exposure, same_before, same_after)
        )
    return questions


def answers_by_question(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Question key -> its answers, in the order of the file."""
    questions: dict[str, list[Answer]] = {}
    for answer in answers:
        questions.setdefault(question_key(answer.response.question), []).append(answer)
    return questions


def _in_category(answer: Answer, category: str, scorer: Scorer) -> Answer:
    """The patterns that can show depend on the category: one question has one, and is scored again for another."""
    if answer.response.category == category:
        return answer
    response = replace(answer.response, category=category)
    return Answer(response, scorer.score(response))


def _place_in_plan(answer: Answer) -> tuple[float, int, str]:
    response = answer.response
    temperature = -1.0 if response.temperature is None else response.temperature
    return temperature, response.iteration or 0, response.response


# --- changes -----------------------------------------------------------------------------------------------


def count(answers: Sequence[Answer], measure: Measure) -> tuple[int, int]:
    """Answers that show it, and answers of which it can be told."""
    told = [shown for answer in answers if (shown := measure.shown(answer.score)) is not None]
    return sum(told), len(told)


def compare_measures(
    questions: Sequence[ComparedQuestion],
    measures: Sequence[Measure],
    seed: int,
    labels: Sequence[FileLabels | None] = (None, None),
) -> list[MeasureRecord]:
    """The change of every measure, overall and in parts; of more than MOST_PARTS categories none is taken apart.

    The overall changes are one family: a model identical to the base gets "rose" or "fell" anywhere at all in at most
    5 % of comparisons. A part (a category, an exposure) gets a verdict only where its measure has one overall; the
    parts of a measure are then a family of their own.
    """
    counts_SQRC = np.array(
        [[[count(side, measure) for measure in measures] for side in (q.before, q.after)] for q in questions],
        dtype=np.int64,
    ).transpose(1, 0, 2, 3)
    categories = sorted({question.category for question in questions})
    if len(categories) > MOST_PARTS:
        categories = []
    parts_QP = np.array(
        [
            [question.exposure == exposure for exposure in EXPOSURES]
            + [question.category == category for category in categories]
            for question in questions
        ]
    )
    overall = _changes(counts_SQRC, seed)
    corrected = _corrected(questions, measures, counts_SQRC, labels)
    records = []
    for index, (measure, change) in enumerate(zip(measures, overall, strict=True)):
        parts = _changes(counts_SQRC[:, :, index : index + 1] * parts_QP[None, :, :, None], seed)
        is_open = change is None or change.verdict == "inconclusive"
        shown = [change_record(part, "inconclusive" if is_open else None) for part in parts]
        records.append(
            MeasureRecord(
                name=measure.name,
                kind=measure.kind,
                overall=change_record(change),
                corrected=corrected.get(measure.name),
                exposures=dict(zip(EXPOSURES, shown[: len(EXPOSURES)], strict=True)),
                categories=dict(zip(categories, shown[len(EXPOSURES) :], strict=True)),
            )
        )
    return records


def _changes(counts_SQRC: IntArray, seed: int) -> list[Change | None]:
    """Sides before and after, questions, columns; the last axis is hits and answers."""
    before_QRC, after_QRC = counts_SQRC
    return paired_changes(before_QRC[..., 0], before_QRC[..., 1], after_QRC[..., 0], after_QRC[..., 1], seed)


def _corrected(
    questions: Sequence[ComparedQuestion],
    measures: Sequence[Measure],
    counts_SQRC: IntArray,
    labels: Sequence[FileLabels | None],
) -> dict[str, CorrectedChangeRecord]:
    """Measure -> its corrected change, where both sides have labels; these changes are one family."""
    first, second = labels
    if first is None or second is None or not (first.scores and second.scores):
        return {}
    keys = [question_key(question.question) for question in questions]
    told = [(column, measure) for column, measure in enumerate(measures) if measure.patterns]
    pairs = [
        (
            labelled_counts(first.scores, measure, keys, *counts_SQRC[0, :, column].T),
            labelled_counts(second.scores, measure, keys, *counts_SQRC[1, :, column].T),
        )
        for column, measure in told
    ]
    changes = corrected_changes(pairs)
    return {measure.name: _corrected_record(change) for (_, measure), change in zip(told, changes, strict=True)}


def _corrected_record(change: PairedChange | Refused) -> CorrectedChangeRecord:
    if isinstance(change, Refused):
        return CorrectedChangeRecord(
            refused=change.reason,
            before=None,
            after=None,
            change=None,
            low=None,
            high=None,
            p=None,
            adjusted_p=None,
            verdict="inconclusive",
        )
    return CorrectedChangeRecord(
        refused=None,
        before=change.before,
        after=change.after,
        change=change.change,
        low=change.low,
        high=change.high,
        p=change.p,
        adjusted_p=change.adjusted_p,
        verdict=change.verdict,
    )


def change_record(change: Change | None, verdict: Verdict | None = None) -> ChangeRecord | None:
    """A change as it goes into a file; `verdict`: instead of its own."""
    if change is None:
        return None
    return ChangeRecord(
        before=change.before,
        after=change.after,
        change=change.change,
        low=change.low,
        high=change.high,
        questions=change.questions,
        moved=change.moved,
        p=change.p,
        adjusted_p=change.adjusted_p,
        verdict=verdict or change.verdict,
    )


def find_flips(questions: Sequence[ComparedQuestion], measures: Sequence[Measure]) -> list[FlipRecord]:
    """Questions most of whose answers changed side for a group, or for being right; the worst first.

    Worst is a right answer lost; then the size of the change decides.
    """
    flips = []
    for measure in measures:
        if (measure.kind != "group" and measure.name != "right") or measure.name == PRAGMATIC_ONLY:
            continue
        for question in questions:
            hits, answers = count(question.before, measure)
            hits_after, answers_after = count(question.after, measure)
            # Compared as whole numbers: exactly half on one side is no majority.
            if (2 * hits - answers) * (2 * hits_after - answers_after) < 0:
                flips.append(
                    FlipRecord(
                        measure=measure.name,
                        question_id=question.question_id,
                        question=question.question,
                        category=question.category,
                        exposure=question.exposure,
                        before=hits / answers,
                        after=hits_after / answers_after,
                    )
                )
    return sorted(flips, key=lambda flip: (not _lost(flip), -abs(flip.after - flip.before)))


def _lost(flip: FlipRecord) -> bool:
    return flip.measure == "right" and flip.after < flip.before


def draw_pairs(questions: Sequence[ComparedQuestion], number: int, seed: int) -> list[AnswerPairRecord]:
    """Answers before and after to questions drawn at random, of the same temperature and iteration where there are."""
    generator = random.Random(seed)  # noqa: S311 - a reproducible choice, no secret
    drawn = generator.sample(list(questions), min(number, len(questions)))
    return [_drawn_pair(question, generator) for question in drawn]


def _drawn_pair(question: ComparedQuestion, generator: random.Random) -> AnswerPairRecord:
    before = generator.choice(question.before)
    place = _place_in_plan(before)[:2]
    alike = [answer for answer in question.after if _place_in_plan(answer)[:2] == place]
    after = generator.choice(alike or question.after)
    same = before.response.temperature == after.response.temperature
    return AnswerPairRecord(
        question_id=question.question_id,
        question=question.question,
        category=question.category,
        exposure=question.exposure,
        temperature=before.response.temperature if same else None,
        before=before.response.response,
        after=after.response.response,
        before_patterns=before.score.patterns,
        after_patterns=after.score.patterns,
    )
