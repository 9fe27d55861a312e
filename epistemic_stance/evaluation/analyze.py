"""`stance analyze`: what the answers in a file do, how often, and how sure that is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError
from rich.console import Console

from epistemic_stance.evaluation.correction import read_file_labels
from epistemic_stance.evaluation.measures import Measure, measures_of
from epistemic_stance.evaluation.rates import EXPOSURES, MOST_PARTS, Tally
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import require_folder, write_atomic
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, AnalyzeSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import AnalysisRecord, ExampleRecord, SampleRecord, ScoreRecord
from epistemic_stance.records.response_file import Known, Response, ResponseFile, corpus_notice, read_responses
from epistemic_stance.records.run_folder import AnswerFiles, write_record
from epistemic_stance.report.analysis_page import markdown
from epistemic_stance.report.analysis_tables import print_analysis
from epistemic_stance.scoring.score import Scorer, of_split
from epistemic_stance.stance.load import Stance, corpus_digest, corpus_name, load_stance_and_pairs, patterns_digest

RANDOM_ANSWERS = 10


@dataclass(frozen=True)
class Analysis:
    """A finished analysis with what it was made of."""

    record: AnalysisRecord
    file: ResponseFile
    scorer: Scorer
    score_lines: list[str]
    """Of scores.jsonl, one per answer."""


def run_analyze(settings: AnalyzeSettings, console: Console) -> None:
    """Score every answer, write scores.jsonl, analysis.json and analysis.md, print the tables.

    Raises InputError for a file or stance that cannot be read and StorageError if a file cannot be written; each of
    the three is replaced whole or not at all, analysis.md last.
    """
    analysis = analyze(settings)
    file, record = analysis.file.path, analysis.record
    outputs = AnswerFiles((settings.output or file.parent) / file.name)
    write_atomic(outputs.scores, "".join(analysis.score_lines))
    write_record(outputs.analysis, record)
    write_atomic(outputs.analysis_page, markdown(record))
    print_analysis(record, console)
    written = ", ".join(str(path) for path in (outputs.analysis_page, outputs.analysis, outputs.scores))
    console.print(plain(f"Written: {written}"), soft_wrap=True)


def analyze(settings: AnalyzeSettings) -> Analysis:
    """Score and count; writes nothing. Raises InputError for a wrong setting, file or stance."""
    for flag, value in (("--examples", settings.examples), ("--seed", settings.seed)):
        if value < 0:
            raise InputError([Problem("command line", f"expected 0 or more, found {value}", field=flag)])
    if settings.output is not None:
        require_folder(settings.output, "--output")
    scorer = Scorer(*load_stance_and_pairs(settings.stance, settings.corpus))
    file = of_split(read_responses(settings.file), settings.split, scorer.book)
    scored = _Scored(measures_of(scorer.patterns.patterns))
    lines = [scored.add(scorer.score(response)) for response in file.responses]
    return Analysis(_analysis(settings, file, scorer, scored), file, scorer, lines)


@dataclass
class _Scored:
    """What is kept of the scores: they themselves would not fit in memory for long files."""

    measures: Sequence[Measure]
    tally: Tally = field(init=False)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.tally = Tally(self.measures)

    def add(self, score: ScoreRecord) -> str:
        """Count a score and return its line."""
        self.tally.add(score)
        self.rules.update({(hit.pattern, hit.rule) for hit in score.hits})
        return f"{score.model_dump_json()}\n"

    def rule_counts(self) -> dict[str, dict[str, int]]:
        patterns = [measure.name for measure in self.measures if measure.kind == "pattern"]
        most_frequent = sorted(self.rules.items(), key=lambda counted: (-counted[1], counted[0]))
        return {name: {rule: count for (pattern, rule), count in most_frequent if pattern == name} for name in patterns}


def _analysis(settings: AnalyzeSettings, file: ResponseFile, scorer: Scorer, scored: _Scored) -> AnalysisRecord:
    stance = scorer.stance
    tally, digest = scored.tally, corpus_digest(scorer.pairs)
    labels = read_file_labels(file, settings.labels, scorer)
    exposed, categories = tally.questions_of("exposure"), tally.answers_of("category")
    return AnalysisRecord(
        file=str(file.path),
        sha256=file.sha256,
        stance=stance.name,
        patterns_digest=patterns_digest(stance),
        corpus=corpus_name(stance, settings.corpus),
        corpus_digest=digest,
        seed=settings.seed,
        split=settings.split,
        answers=len(file.responses),
        questions=tally.questions,
        asked=_asked(file),
        uniform=len(file.origins) == 1 if any(file.origins) else None,
        notices=[
            *file.notices,
            *_notices(file, stance, digest),
            *(labels.notices if labels else []),
        ],
        category_answers={
            name: counted for name, counted in sorted(categories.items()) if len(categories) <= MOST_PARTS
        },
        exposure_questions={name: exposed[name] for name in EXPOSURES if name in exposed},
        measures=tally.measured(settings.seed, labels),
        labels=str(labels.folder) if labels else None,
        rules=scored.rule_counts(),
        words=tally.word_counts(),
        examples=_examples(file.responses, scorer, scored, settings),
        samples=_samples(file.responses, scorer, settings.seed),
    )


def _asked(file: ResponseFile) -> dict[str, list[Known]]:
    found: dict[str, dict[Known, None]] = {}
    for origin in file.origins:
        for name, value in origin.items():
            found.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in found.items()}


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
        one = len(categories) == 1
        yield (
            f"{'1 category is' if one else f'{len(categories)} categories are'} not the stance's and reported as "
            f"named: {names}; patterns that belong to certain categories do not apply to {'it' if one else 'them'}"
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
    try:
        plan = _Plan.model_validate_json(AnswerFiles(file.path).plan.read_bytes())
    except (OSError, ValidationError):
        return None
    if len(file.responses) >= plan.responses:
        return None
    status = shorten(plan.status, 20)
    return f"the collection is {status}: it has {len(file.responses)} of its {plan.responses} answers"


# --- answers to read ---------------------------------------------------------------------------------------


def _examples(
    responses: Sequence[Response], scorer: Scorer, scored: _Scored, settings: AnalyzeSettings
) -> list[ExampleRecord]:
    """Answers that show each pattern, drawn by the seed, each to another question as long as there are any."""
    shown_NM, question_N = scored.tally.shown_NM(), scored.tally.question_N()
    examples = []
    for column, measure in enumerate(scored.measures):
        if measure.kind != "pattern":
            continue
        order_N = np.random.default_rng([settings.seed, column]).permutation(len(responses))
        showing = [int(index) for index in order_N if shown_NM[index, column] == 1]
        first_of_question = {int(question_N[index]): index for index in reversed(showing)}
        first = [index for index in showing if first_of_question[int(question_N[index])] == index]
        others = [index for index in showing if first_of_question[int(question_N[index])] != index]
        for index in (first + others)[: settings.examples]:
            examples.append(_example(responses[index], measure.name, scorer))
    return examples


def _example(response: Response, pattern: str, scorer: Scorer) -> ExampleRecord:
    hit = next(hit for hit in scorer.score(response).hits if hit.pattern == pattern)
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


def _samples(responses: Sequence[Response], scorer: Scorer, seed: int) -> list[SampleRecord]:
    generator = random.Random(seed)  # noqa: S311 - a reproducible choice, no secret
    drawn = generator.sample(range(len(responses)), min(RANDOM_ANSWERS, len(responses)))
    samples = []
    for response, score in ((responses[index], scorer.score(responses[index])) for index in sorted(drawn)):
        samples.append(
            SampleRecord(
                line=response.line,
                question=response.question,
                category=response.category,
                exposure=score.exposure,
                temperature=response.temperature,
                response=response.response,
                patterns=score.patterns,
                grade=score.grade,
            )
        )
    return samples
