"""`stance analyze`: what the answers in a file do, how often, and how sure that is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.correction import read_all_labels
from epistemic_stance.evaluation.rates import EXPOSURES, MOST_PARTS, Tally
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import require_folder
from epistemic_stance.foundation.reporter import Reporter, silent
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, AnalyzeSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import AnalysisRecord, ExampleRecord, SampleRecord
from epistemic_stance.records.response_file import Known, ResponseFile, corpus_notice
from epistemic_stance.records.run_folder import AnswerFiles, read_if_sound, write_record
from epistemic_stance.scoring.measures import Measure, measures_of
from epistemic_stance.scoring.run import Answer, ScoredFile, scored
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import Stance, corpus_name, load_stance_and_pairs, patterns_digest
from epistemic_stance.stance.pairs import corpus_digest

RANDOM_ANSWERS = 10


@dataclass(frozen=True)
class Analysis:
    """A finished analysis with what it was made of."""

    record: AnalysisRecord
    scored: ScoredFile
    stance: Stance


def run(settings: AnalyzeSettings, reporter: Reporter) -> AnalysisRecord:
    """Count what the answers in a file do; writes scores.jsonl where it is missing, and analysis.json.

    Raises InputError for a wrong setting, file or stance and StorageError if a file cannot be written.
    """
    analysis = analyze(settings, reporter)
    path = analysis_path(analysis.scored.file.path, settings.output)
    write_record(path, analysis.record)
    return analysis.record


def analysis_path(responses: Path, folder: Path | None = None) -> Path:
    """analysis.json beside the answers, or in `folder`."""
    beside = AnswerFiles(responses).analysis
    return folder / beside.name if folder else beside


def analyze(settings: AnalyzeSettings, reporter: Reporter = silent) -> Analysis:
    """Score where that was not done, and count. Raises InputError for a wrong setting, file or stance."""
    for flag, value in (("--examples", settings.examples), ("--seed", settings.seed)):
        if value < 0:
            raise InputError([Problem("command line", f"expected 0 or more, found {value}", field=flag)])
    if settings.output is not None:
        require_folder(settings.output, "--output")
    scorer = Scorer(*load_stance_and_pairs(settings.stance, settings.corpus))
    answers = scored(settings.file, scorer, reporter, settings.split, settings.output)
    return Analysis(_record(settings, answers, scorer), answers, scorer.stance)


def _record(settings: AnalyzeSettings, scored_file: ScoredFile, scorer: Scorer) -> AnalysisRecord:
    stance, file, answers = scorer.stance, scored_file.file, scored_file.answers
    measures = measures_of(scorer.patterns.patterns)
    tally = Tally(measures)
    for answer in answers:
        tally.add(answer.score)
    digest = corpus_digest(scorer.pairs)
    labels = read_all_labels(scored_file, settings.labels, scorer)
    exposed, categories = tally.questions_of("exposure"), tally.answers_of("category")
    return AnalysisRecord(
        file=str(file.path),
        sha256=file.sha256,
        stance=stance.name,
        scores=scored_file.stamp,
        patterns_digest=patterns_digest(stance),
        corpus=corpus_name(stance, settings.corpus),
        corpus_digest=digest,
        seed=settings.seed,
        split=settings.split,
        answers=len(answers),
        questions=tally.questions,
        asked=_asked(file),
        uniform=len(file.origins) == 1 if any(file.origins) else None,
        notices=[*file.notices, *_notices(file, stance, digest), *(labels.notices if labels else [])],
        category_answers={
            name: counted for name, counted in sorted(categories.items()) if len(categories) <= MOST_PARTS
        },
        exposure_questions={name: exposed[name] for name in EXPOSURES if name in exposed},
        measures=tally.measured(labels),
        labels=str(labels.folder) if labels else None,
        rules=_rules(answers, measures),
        words=tally.word_counts(),
        examples=_examples(answers, tally, measures, settings),
        samples=_samples(answers, settings.seed),
    )


def _rules(answers: Sequence[Answer], measures: Sequence[Measure]) -> dict[str, dict[str, int]]:
    """Pattern -> rule -> answers in which it matched, the most frequent first."""
    counted = Counter(pair for answer in answers for pair in {(hit.pattern, hit.rule) for hit in answer.score.hits})
    most_frequent = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    patterns = [measure.name for measure in measures if measure.kind == "pattern"]
    return {name: {rule: number for (pattern, rule), number in most_frequent if pattern == name} for name in patterns}


def _asked(file: ResponseFile) -> dict[str, list[Known]]:
    result: dict[str, dict[Known, None]] = {}
    for origin in file.origins:
        for name, value in origin.items():
            result.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in result.items()}


# --- notices -----------------------------------------------------------------------------------------------


def _notices(file: ResponseFile, stance: Stance, digest: str) -> Iterator[str]:
    """What a reader of the figures has to know; `digest` is that of the corpus that tells seen from unseen."""
    asked = _asked(file)
    models = [str(model) for model in asked.get("model", [])]
    if DEMO_MODEL in [*models, *asked.get("base_model", [])]:
        yield DEMO_NOTICE
    if unfinished := _unfinished(file):
        yield unfinished
    if other_corpus := corpus_notice(file, digest):
        yield other_corpus
    mixed = [name for name, values in asked.items() if len(values) > 1]
    if mixed:
        yield f"the answers were not all asked alike, and every rate mixes them: they differ in {', '.join(mixed)}"
    elif len(file.origins) > 1:
        yield "some answers say how they were asked and others do not"
    known = {category for questions in stance.question_sets.values() for category in questions.categories}
    categories = sorted({response.category for response in file.responses} - known)
    if categories:
        names = ", ".join(shorten(name, 30) for name in categories[:5]) + (", ..." if len(categories) > 5 else "")
        single = len(categories) == 1
        yield (
            f"{'1 category is' if single else f'{len(categories)} categories are'} not the stance's and reported as "
            f"named: {names}; patterns that belong to certain categories do not apply to {'it' if single else 'them'}"
        )
    different = {
        "categories": len({response.category for response in file.responses}),
        "temperatures": len({response.temperature for response in file.responses}),
    }
    for name, number in different.items():
        if number > MOST_PARTS:
            yield f"there are {number} different {name}, more than {MOST_PARTS}: they are not taken apart"
    unknown = sum(response.finish_reason is None for response in file.responses)
    if unknown:
        yield f"not known how they ended, and so whether they are truncated: {unknown} of the answers"


class _Plan(Logged):
    """What is asked of the plan beside the answers, whatever else it holds."""

    status: str
    responses: int


def _unfinished(file: ResponseFile) -> str | None:
    """What the collection's plan says is missing, if there is one."""
    plan = read_if_sound(AnswerFiles(file.path).plan, _Plan)
    if plan is None or len(file.responses) >= plan.responses:
        return None
    status = shorten(plan.status, 20)
    return f"the collection is {status}: it has {len(file.responses)} of its {plan.responses} answers"


# --- answers to read ---------------------------------------------------------------------------------------


def _examples(
    answers: Sequence[Answer], tally: Tally, measures: Sequence[Measure], settings: AnalyzeSettings
) -> list[ExampleRecord]:
    """Answers that show each pattern, drawn by the seed, each to another question as long as there are any."""
    shown_NM, question_N = tally.shown_NM(), tally.question_N()
    examples = []
    for column, measure in enumerate(measures):
        if measure.kind != "pattern":
            continue
        order_N = np.random.default_rng([settings.seed, column]).permutation(len(answers))
        showing = [int(index) for index in order_N if shown_NM[index, column] == 1]
        first_of_question = {int(question_N[index]): index for index in reversed(showing)}
        first = [index for index in showing if first_of_question[int(question_N[index])] == index]
        others = [index for index in showing if first_of_question[int(question_N[index])] != index]
        for index in (first + others)[: settings.examples]:
            examples.append(_example(answers[index], measure.name))
    return examples


def _example(answer: Answer, pattern: str) -> ExampleRecord:
    response = answer.response
    hit = next(hit for hit in answer.score.hits if hit.pattern == pattern)
    return ExampleRecord(
        pattern=pattern,
        rule=hit.rule,
        start=hit.start,
        end=hit.end,
        line=response.line,
        question=response.question,
        category=response.category,
        response=response.response,
    )


def _samples(answers: Sequence[Answer], seed: int) -> list[SampleRecord]:
    generator = random.Random(seed)  # noqa: S311 - a reproducible choice, no secret
    drawn = sorted(generator.sample(range(len(answers)), min(RANDOM_ANSWERS, len(answers))))
    return [
        SampleRecord(
            line=answer.response.line,
            question=answer.response.question,
            category=answer.response.category,
            exposure=answer.score.exposure,
            temperature=answer.response.temperature,
            response=answer.response.response,
            patterns=answer.score.patterns,
            grade=answer.score.grade,
        )
        for answer in (answers[index] for index in drawn)
    ]
