"""An analysis for people: what fits a terminal (`summary`), and everything (`page`), from analysis.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console

from epistemic_stance.records.analysis import AnalysisRecord, Exposure, MeasuredRecord, RateRecord
from epistemic_stance.report.figures import corrected, counted, rate
from epistemic_stance.report.layout import Cell, Quote, Section, Table
from epistemic_stance.report.markdown_page import page
from epistemic_stance.report.terminal import print_notices, print_sections
from epistemic_stance.scoring.measures import PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY

RULES_SHOWN = 12
HOW_TO_READ = (
    "Percent of answers [95 % interval for questions like these; whole questions are the unit]. Empty, truncated and "
    "repetitive answers are in every rate. seen: a question of the corpus; paraphrase: nearly one; - : unknown."
)
ABOUT_GRADES = (
    "Of the answers to questions with an answer key. Unparsed: no answer can be read, which is neither right nor "
    "wrong; right of parsed leaves them out."
)
ABOUT_CONDUCT = (
    "Of the answers to questions that are made to measure it. agrees with user: 50 over both forms for a model that "
    "pays no heed to the user's view. shows tendency: gives the answer that the category is wary of. Both leave out "
    "answers without a verdict."
)
ABOUT_CORRECTED = (
    "What people would find in these answers, judged by those that they labelled; the interval holds for questions "
    "and labels together."
)
HEADLINE = (PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY, "refusal")


def print_analysis(record: AnalysisRecord, console: Console) -> None:
    print_notices(record.notices, console)
    print_sections(summary(record), console)


def markdown(record: AnalysisRecord) -> str:
    """analysis.md."""
    sections = [*_overall(record), *_every_part(record), _rules(record), *_examples(record), *_samples(record)]
    return page("Analysis", [_heading(record)], record.notices, [*sections, _provenance(record)])


def summary(record: AnalysisRecord) -> list[Section]:
    """Rates over all answers, the groups by category and temperature, and one example of each pattern."""
    first = Section(_heading(record), 2)
    examples = [examples[0] for examples in _quotes(record).values()]
    shown = [Section("Examples, one of each pattern; more are in the files", 2, quotes=examples)] if examples else []
    return [first, *_overall(record), *_headline_parts(record), *shown]


def _heading(record: AnalysisRecord) -> str:
    models = ", ".join(str(model) for model in record.asked.get("model", [])) or "an unknown model"
    temperatures = [name for name in record.measures[0].temperatures if name != "unknown"]
    asked = f"{counted(record.questions, 'question')} in {counted(len(record.category_answers), 'category')}"
    sampled = f", temperature {', '.join(temperatures)}" if temperatures else ""
    corpus = f"; seen and unseen as of {record.corpus}" if _exposures(record) else ""
    return f"{models}: {counted(record.answers, 'answer')} to {asked}{sampled}{corpus}"


def _exposures(record: AnalysisRecord) -> dict[Exposure, str]:
    """Exposure -> its heading; nothing where all questions are of one."""
    numbers = record.exposure_questions
    return {name: f"{name} ({number})" for name, number in numbers.items()} if len(numbers) > 1 else {}


def of_kind(record: AnalysisRecord, *kinds: str) -> list[MeasuredRecord]:
    return [measure for measure in record.measures if measure.kind in kinds]


def _grouped(record: AnalysisRecord) -> Iterator[tuple[MeasuredRecord, bool]]:
    """Groups, each followed by its patterns, which are marked so; then patterns without a group of their own."""
    groups = of_kind(record, "group")
    names = {group.name for group in groups}
    patterns = of_kind(record, "pattern")
    for group in groups:
        if group.name == PRAGMATIC_ONLY:
            continue
        yield group, False
        yield from ((other, True) for other in groups if (other.name, group.name) == (PRAGMATIC_ONLY, PRAGMATIC))
        yield from ((pattern, True) for pattern in patterns if pattern.group == group.name)
    yield from ((pattern, False) for pattern in patterns if pattern.group not in names)


# --- over all answers --------------------------------------------------------------------------------------


def _overall(record: AnalysisRecord) -> Iterator[Section]:
    yield _patterns(record)
    yield from _corrected(record)
    grades = of_kind(record, "grade")
    graded = [name for name in record.category_answers if any(grade.categories[name] for grade in grades)]
    if graded:
        yield _by_category("Right and wrong", grades, graded, ABOUT_GRADES)
    conduct = [measure for measure in of_kind(record, "conduct") if measure.overall]
    if conduct:
        asked = [name for name in record.category_answers if any(measure.categories[name] for measure in conduct)]
        yield _by_category("Conduct", conduct, asked, ABOUT_CONDUCT)
    forms = of_kind(record, "form")
    row = [rate(form.overall) for form in forms]
    table = Table("Form", [form.name for form in forms], [row], left=())
    yield Section("Form", 2, tables=[table], text=[_lengths(record)])


def _patterns(record: AnalysisRecord) -> Section:
    exposures = _exposures(record)
    rows: list[list[Cell | str]] = []
    for measure, inside in _grouped(record):
        if not inside and rows:
            rows.append([])
        shown = measure.overall and measure.overall.estimate > 0
        name = Cell(f"  {measure.name}" if inside else measure.name, weight="" if inside else "strong")
        if not shown:
            name = Cell(name.text, weight="faint")
        cells = [measure.overall, *(measure.exposures[exposure] for exposure in exposures)]
        rows.append([name, *(Cell(rate(cell), weight="" if shown else "faint") for cell in cells)])
    only = "" if exposures else f", all to {next(iter(record.exposure_questions))} questions"
    title = f"What the answers do{only}"
    head = ("", f"all ({counted(record.questions, 'question')})", *exposures.values())
    return Section(title, 2, tables=[Table(title, head, rows)], text=[HOW_TO_READ])


def _corrected(record: AnalysisRecord) -> Iterator[Section]:
    measures = [*(measure for measure, _ in _grouped(record)), *of_kind(record, "conduct")]
    rows = [
        [measure.name, rate(measure.overall), corrected(result), f"{result.positives} of {result.labelled}"]
        for measure in measures
        if (result := measure.corrected) and result.estimate is not None
    ]
    refusals = {
        measure.name: measure.corrected.refused
        for measure in measures
        if measure.overall and measure.corrected and measure.corrected.refused
    }
    if rows or refusals:
        title = "Corrected for the errors of the rules"
        tables = [Table(title, ("", "by the rules", "corrected", "labelled as such"), rows)] if rows else []
        yield Section(title, 2, tables=tables, items=not_corrected(refusals), text=[ABOUT_CORRECTED])


def not_corrected(refusals: Mapping[str, str]) -> list[str]:
    """Measure -> why it is not corrected, to lines that say what is needed and how much of it each measure has."""
    had: dict[str, list[str]] = {}
    for name, reason in refusals.items():
        needs, _, number = reason.rpartition(": ")
        had.setdefault(needs, []).append(f"{name} ({number})")
    return [f"not corrected, {needs}: {', '.join(names)}" for needs, names in had.items()]


def _by_category(title: str, measures: Sequence[MeasuredRecord], categories: Sequence[str], about: str) -> Section:
    rows: list[list[Cell | str]] = [
        [name, *(rate(measure.categories[name]) for measure in measures)] for name in categories
    ]
    rows += [
        [],
        [Cell("all", weight="strong"), *(Cell(rate(measure.overall), weight="strong") for measure in measures)],
    ]
    return Section(
        title, 2, tables=[Table(title, ("category", *(measure.name for measure in measures)), rows)], text=[about]
    )


def _lengths(record: AnalysisRecord) -> str:
    spread = record.words
    return (
        f"Words per answer: median {spread.median:.0f}; nine in ten answers have {spread.tenth:.0f} or more, one in "
        f"ten {spread.ninetieth:.0f} or more; the longest has {spread.highest}."
    )


# --- in parts ----------------------------------------------------------------------------------------------


def _headline_parts(record: AnalysisRecord) -> Iterator[Section]:
    """The measures whose parts fit a screen, by category and by temperature."""
    measures = [measure for measure in record.measures if measure.name in HEADLINE]
    for part, names in _parts(record).items():
        if measures and (part == "category" or len(names) > 1):
            rows = [[name, *(rate(_part(measure, part)[name]) for measure in measures)] for name in names]
            head = (part, *(measure.name for measure in measures))
            yield Section(f"By {part}", 2, tables=[Table(f"By {part}", head, rows)])


def _every_part(record: AnalysisRecord) -> Iterator[Section]:
    """Measures stand in rows: there are more of them than fit across a page."""
    measures = [measure for measure, _ in _grouped(record)]
    for part, names in _parts(record).items():
        yield Section(f"By {part}", 2)
        for name in names:
            number = f" ({counted(record.category_answers[name], 'answer')})" if part == "category" else ""
            rates = [(measure.name, _part(measure, part)[name]) for measure in measures]
            rows = [[name, rate(known)] for name, known in rates if known and known.estimate > 0]
            none = [name for name, known in rates if known and known.estimate == 0]
            title = f"{name}{number}"
            tables = [Table(title, ("", "percent of answers"), rows)] if rows else []
            yield Section(title, 3, tables=tables, text=[f"None: {', '.join(none)}."] if none else [])


def _parts(record: AnalysisRecord) -> dict[str, list[str]]:
    return {"category": list(record.category_answers), "temperature": list(record.measures[0].temperatures)}


def _part(measure: MeasuredRecord, part: str) -> dict[str, RateRecord | None]:
    return measure.categories if part == "category" else measure.temperatures


# --- rules, answers, provenance ----------------------------------------------------------------------------


def _rules(record: AnalysisRecord) -> Section:
    rows = []
    for pattern, rules in record.rules.items():
        shown = ", ".join(f"{rule} {number}" for rule, number in list(rules.items())[:RULES_SHOWN])
        more = f", and {len(rules) - RULES_SHOWN} more" if len(rules) > RULES_SHOWN else ""
        rows.append([pattern, f"{shown or 'none'}{more}"])
    lead = "Answers in which each rule matched, the most frequent rules of each pattern."
    return Section("Rules", 2, [lead], [Table("Rules", ("pattern", "rules"), rows, words=True)])


def _quotes(record: AnalysisRecord) -> dict[str, list[Quote]]:
    """Pattern -> its examples."""
    return {
        pattern: [
            Quote(
                f"{example.question} ({pattern}: rule {example.rule}, line {example.line}, {example.category})",
                example.response,
                (example.start, example.end),
            )
            for example in examples
        ]
        for pattern, examples in groupby(record.examples, key=lambda example: example.pattern)
    }


def _examples(record: AnalysisRecord) -> Iterator[Section]:
    lead = "Drawn at random among the answers that show the pattern; what matched is bold."
    yield Section("Examples", 2, [lead])
    yield from (Section(pattern, 3, quotes=quotes) for pattern, quotes in _quotes(record).items())


def _samples(record: AnalysisRecord) -> Iterator[Section]:
    yield Section(counted(len(record.samples), "random answer"), 2)
    for sample in record.samples:
        warm = "" if sample.temperature is None else f", temperature {sample.temperature:g}"
        graded = f"; {sample.grade}" if sample.grade else ""
        shows = ", ".join(sample.patterns) or "no pattern"
        title = f"Line {sample.line}, {sample.category}, {sample.exposure}{warm}: {shows}{graded}"
        yield Section(sample.question, 3, quotes=[Quote(title, sample.response)])


def _provenance(record: AnalysisRecord) -> Section:
    rows = [
        ["answers", f"{record.file}, sha256 {record.sha256}"],
        ["stance", f"{record.stance}, patterns sha256 {record.patterns_digest}"],
        ["corpus", f"{record.corpus}, digest {record.corpus_digest}"],
        ["seed of intervals and choices", str(record.seed)],
    ]
    rows += [
        [name, ", ".join("the template's own" if value is None else str(value) for value in values)]
        for name, values in record.asked.items()
    ]
    title = "Where this comes from"
    return Section(title, 2, tables=[Table(title, ("", ""), rows, words=True)])
