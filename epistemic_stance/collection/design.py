"""From settings and a stance to what is asked; every mistake is found here, before torch is imported."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.json_positions import LONE_SURROGATE
from epistemic_stance.foundation.settings import CollectSettings, SplitChoice
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.records.written import AskingDesign, QuestionSet, QuestionSetReference
from epistemic_stance.stance.load import Stance, load_pairs, load_stance
from epistemic_stance.stance.splits import splits_of
from epistemic_stance.stance.trained_questions import DESIGN, TRAINED, trained_questions

MAX_TEMPERATURE = 5.0
MAX_ITERATIONS = 1000
MAX_NEW_TOKENS = 100_000


@dataclass(frozen=True)
class Item:
    """One answer to ask for."""

    question_id: str
    category: str
    question: str
    temperature: float
    """0 = greedy."""
    iteration: int
    """From 1."""
    seed: int
    """Of this answer alone, 0 to 2**31 - 1: its text does not depend on what else is asked."""


@dataclass(frozen=True)
class Design:
    """What is asked, how often and how."""

    stance: str
    question_set: str
    prefix: str
    """Of the default output, PREFIX_data/PREFIX_responses_<time>.jsonl."""
    categories: list[str]
    questions: list[tuple[str, str, str]]
    """(id, category, text with its instruction)."""
    temperatures: list[float]
    iterations: int
    sampling: SamplingConfig
    system_prompt: str | None
    seed: int
    items: list[Item]
    """In the order in which they are asked; `--max-responses` leaves some of them."""

    @property
    def questions_digest(self) -> str:
        """sha256 over id, category and text of the questions, in order."""
        return hashlib.sha256(json.dumps(self.questions).encode()).hexdigest()


def read_design(settings: CollectSettings) -> Design:
    """Check settings and stance. Raises InputError with every problem."""
    problems = _setting_problems(settings)
    try:
        stance = load_stance(settings.stance)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    reference, questions = _asked_set(settings, stance, problems)
    mode = _mode(settings, reference, problems)
    split = _split(settings, problems)
    categories = _categories(settings, mode, questions, problems)
    temperatures = _temperatures(settings, mode, problems)
    if problems:
        raise InputError(problems)
    asked = _questions(stance, questions, categories, split)
    iterations = settings.iterations or mode.iterations
    return Design(
        stance=stance.name,
        question_set=reference.name,
        prefix=reference.prefix or reference.name,
        categories=categories,
        questions=asked,
        temperatures=temperatures,
        iterations=iterations,
        sampling=SamplingConfig(
            max_new_tokens=settings.max_new_tokens or reference.max_new_tokens,
            top_p=settings.top_p,
            top_k=settings.top_k,
            repetition_penalty=settings.repetition_penalty,
        ),
        system_prompt=settings.system_prompt if settings.system_prompt is not None else stance.system_prompt,
        seed=settings.seed,
        items=spread(plan_items(asked, temperatures, iterations, settings.seed), settings.max_responses),
    )


def _asked_set(
    settings: CollectSettings, stance: Stance, problems: list[Problem]
) -> tuple[QuestionSetReference, QuestionSet]:
    """A set of the stance, or the questions of the corpus. Raises InputError if there is neither."""
    name = settings.questions
    if name in stance.designs:
        return stance.designs[name], stance.question_sets[name]
    if name == TRAINED:
        corpus = settings.corpus or stance.corpus
        return DESIGN, trained_questions(load_pairs(corpus), corpus)
    known = f"{stance.name} has {', '.join([*stance.designs, TRAINED])}"
    what = f"{shorten(name)} is no question set of the stance"
    raise InputError([*problems, Problem("--questions", what, hint=known)])


def _questions(
    stance: Stance, questions: QuestionSet, categories: list[str], split: SplitChoice
) -> list[tuple[str, str, str]]:
    """Those of the categories and the split. Raises InputError if there are none, or if two could not be told apart."""
    name, splits = questions.name, splits_of(questions.questions)
    asked = [
        (question.id, question.category, questions.prompt(question))
        for question in questions.questions
        if question.category in categories and split in ("all", splits[question_key(question.text)])
    ]
    repeated = [known for known, count in Counter(known for known, _, _ in asked).items() if count > 1]
    if repeated:
        what = f"question ids stand twice in {name}: {', '.join(repeated[:3])}"
        raise InputError([Problem(str(stance.folder), what, hint="`stance check` lists them")])
    if not asked:
        half = "" if split == "all" else f"{split} "
        raise InputError([Problem("--categories", f"{name} has no {half}question in {', '.join(categories)}")])
    return asked


def _setting_problems(settings: CollectSettings) -> list[Problem]:
    """Settings that make no sense by themselves; none is repaired in passing."""
    problems: list[Problem] = []

    def require(name: str, right: bool, expected: str) -> None:
        if not right:
            flag = "--" + name.replace("_", "-")
            problems.append(Problem(flag, f"is {shorten(str(getattr(settings, name)))}, expected {expected}"))

    for name, most in (("iterations", MAX_ITERATIONS), ("max_new_tokens", MAX_NEW_TOKENS), ("max_responses", None)):
        value = getattr(settings, name)
        right = value is None or (value >= 1 and (most is None or value <= most))
        require(name, right, f"1 to {most}" if most else "1 or more")
    for name in ("top_k", "slots", "threads"):
        require(name, getattr(settings, name) >= 0, "0 or more")
    require("concurrency", settings.concurrency >= 1, "1 or more")
    require("top_p", 0 < settings.top_p <= 1, "above 0, at most 1")
    require("repetition_penalty", 0 < settings.repetition_penalty < math.inf, "above 0")
    require("request_timeout", 0 < settings.request_timeout < math.inf, "above 0")
    require("seed", 0 <= settings.seed < 2**31, "0 to 2147483647")
    require("system_prompt", not LONE_SURROGATE.search(settings.system_prompt or ""), "text in UTF-8")
    only = settings.corpus is None or settings.questions == TRAINED
    require("corpus", only, f"--questions {TRAINED} together with it")
    require("overwrite", not settings.overwrite or settings.output_dir is not None, "--output-dir together with it")
    return problems


def _mode(settings: CollectSettings, reference: QuestionSetReference, problems: list[Problem]) -> AskingDesign:
    if settings.mode not in ("quick", "screen"):
        return reference
    part = reference.quick if settings.mode == "quick" else reference.screen
    if part is None:
        what = f"is {settings.mode}, but the set {reference.name} has no {settings.mode} part"
        problems.append(Problem("--mode", what, hint="--max-responses N asks a part that is spread over the questions"))
        return reference
    return part


def _split(settings: CollectSettings, problems: list[Problem]) -> SplitChoice:
    """A first look chooses what to look at longer: what is to be reported on stays out of it."""
    if settings.mode != "screen":
        return settings.split
    if settings.split == "report":
        what = "is report, but --mode screen asks what a checkpoint may be chosen by"
        problems.append(Problem("--split", what, hint="leave --split out"))
    return "select"


def _categories(
    settings: CollectSettings, mode: AskingDesign, questions: QuestionSet, problems: list[Problem]
) -> list[str]:
    """Those to ask, in the order of the question set."""
    wanted = mode.categories or list(questions.categories)
    if settings.categories:
        wanted = [part.strip() for part in settings.categories.split(",")]
        hint = f"{questions.name} has {', '.join(questions.categories)}"
        for name in dict.fromkeys(wanted):
            if name not in questions.categories:
                problems.append(Problem("--categories", f'unknown category "{shorten(name)}"', hint=hint))
            elif wanted.count(name) > 1:
                problems.append(Problem("--categories", f"{name} stands twice, expected each once"))
    return [name for name in questions.categories if name in wanted]


def _temperatures(settings: CollectSettings, mode: AskingDesign, problems: list[Problem]) -> list[float]:
    if not settings.temps:
        return list(mode.temperatures)
    found: list[float] = []
    expected = f"expected numbers from 0 to {MAX_TEMPERATURE:g} with commas, such as 0.3,0.7"
    for part in settings.temps.split(","):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not 0 <= value <= MAX_TEMPERATURE:
            problems.append(Problem("--temps", f'"{shorten(part)}" is no temperature, {expected}'))
        elif value in found:
            problems.append(Problem("--temps", f"{value:g} stands twice, expected each temperature once"))
        else:
            found.append(abs(value))  # -0.0 is greedy too, and has the seed and the key of 0.0
    return found


def item_seed(run_seed: int, question: str, temperature: float, iteration: int) -> int:
    """A seed that depends on what is asked alone, so that a smaller plan repeats answers of a larger one."""
    digest = hashlib.sha256(f"{run_seed}|{temperature!r}|{iteration}|{question}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def plan_items(
    questions: Iterable[tuple[str, str, str]], temperatures: Sequence[float], iterations: int, seed: int
) -> list[Item]:
    """All items of a plan. `questions` are (id, category, text).

    Temperature 0 is greedy and is asked once: five copies of one answer are not five answers.
    """
    return [
        Item(identifier, category, text, temperature, iteration, item_seed(seed, text, temperature, iteration))
        for identifier, category, text in questions
        for temperature in temperatures
        for iteration in range(1, (1 if temperature == 0 else iterations) + 1)
    ]


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items in their order, chosen round by round: every question once before any twice.

    Questions take turns by category, and neighbours start at different temperatures, so that few answers already
    cover all categories, then all questions and temperatures; a second iteration comes last.
    """
    if limit is None or limit >= len(items):
        return list(items)
    temperatures = list(dict.fromkeys(item.temperature for item in items))
    by_question: dict[str, list[int]] = defaultdict(list)
    by_category: dict[str, list[str]] = defaultdict(list)
    for index, item in enumerate(items):
        if item.question_id not in by_question:
            by_category[item.category].append(item.question_id)
        by_question[item.question_id].append(index)
    turns = sorted(
        (place, number, question_id)
        for number, members in enumerate(by_category.values())
        for place, question_id in enumerate(members)
    )
    ranked: list[tuple[int, int, int]] = []
    for turn, (place, _, question_id) in enumerate(turns):
        starts = [
            (items[index].iteration, (temperatures.index(items[index].temperature) - turn - place) % len(temperatures))
            for index in by_question[question_id]
        ]
        order = sorted(zip(starts, by_question[question_id], strict=True))
        ranked += [(number, turn, index) for number, (_, index) in enumerate(order)]
    return [items[index] for index in sorted(index for _, _, index in sorted(ranked)[:limit])]
