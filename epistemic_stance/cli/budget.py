"""`stance run --budget 60m`: how many answers of each question set fit into a time, and what they leave undecided.

A few answers of every set say how long one takes on this machine. The rest of the time goes to whole rounds, one more
answer to every question of a set, the sets first that criteria with a bound are judged by. `design.spread` says which
answers a smaller number is; a larger one adds to them, so base model and checkpoints are always asked alike.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from epistemic_stance.cli.model_passes import Collection, ModelPass, PassResult, run_passes
from epistemic_stance.collection.design import spread
from epistemic_stance.foundation.console import duration
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import RunSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.probing.run import Prober
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import read_record
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.written import Criterion
from epistemic_stance.stance.load import Stance

UNITS = {"m": 60, "min": 60, "h": 3600}
PILOT = 16
"""Answers of each set that a criterion with a bound needs, by which the time of one is measured."""
SHARE = 0.9
"""Of the time that is left is planned for: answers take longer than those before them, too."""
PLANS = 2
"""After the first answers; each is made with the times that were measured before it."""
WORTH_A_PLAN = 0.15
"""Share of the budget; with less left no further plan is made."""
SCREEN_SHARE = 1 / 3
"""Of the budget, for the first look at all checkpoints."""


@dataclass(frozen=True)
class Budget:
    """A time and when it began."""

    seconds: float
    began: float

    @property
    def left(self) -> float:
        """Seconds; negative once it is used up."""
        return self.seconds - (time.monotonic() - self.began)

    def part(self, share: float) -> Budget:
        """The first part of it."""
        return Budget(self.seconds * share, self.began)


@dataclass(frozen=True)
class AskedSet:
    """A question set as a plan sees it."""

    name: str
    questions: int
    total: int
    """Answers of a model, if all are asked."""
    present: int
    """Answers of a model that are there or begun."""
    seconds: float
    """One answer of every model takes so long."""


def parse_budget(text: str) -> Budget:
    """Raises InputError for anything but a time such as 45m, 90min or 2h."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *(m|min|h)", text.strip())
    if match is None or not float(match[1]):
        what = f"{shorten(text)} is no time"
        raise InputError([Problem("--budget", what, hint="minutes or hours, such as 45m or 2h")])
    return Budget(float(match[1]) * UNITS[match[2]], time.monotonic())


def plan_answers(sets: Sequence[AskedSet], seconds: float) -> dict[str, int]:
    """Question set -> answers to ask of each model, those that are there included.

    Round by round: every question of every set once, in the order of the sets, before any is asked again. The last set
    that the time reaches gets a part of a round.
    """
    planned = {each.name: each.present for each in sets}
    turn = 1
    while any(planned[each.name] < each.total for each in sets):
        for each in sets:
            wanted = min(each.total, turn * each.questions) - planned[each.name]
            if wanted > 0:
                affordable = min(wanted, int(seconds / each.seconds)) if each.seconds else wanted
                planned[each.name] += affordable
                seconds -= affordable * each.seconds
                if affordable < wanted:
                    return planned
        turn += 1
    return planned


def bounded(stance: Stance) -> list[Criterion]:
    """Criteria that are judged, not only shown."""
    return [each for each in stance.criteria if each.at_least is not None or each.at_most is not None]


def by_weight(stance: Stance, sets: Sequence[str]) -> list[str]:
    """Sets of criteria with a bound first, then those of other criteria and red flags, then the others."""
    scopes = [*bounded(stance), *stance.criteria, *(flag.answers for flag in stance.red_flags if flag.answers)]
    order = dict.fromkeys([name for scope in scopes for name in scope.sets] + list(sets))
    return [name for name in order if name in sets]


def undecided(stance: Stance, sets: Sequence[AskedSet], each: ModelPass) -> Iterator[str]:
    """What the planned answers of a model, and so of every one, may not suffice for, in words for a person."""
    scopes = [(criterion.title, criterion.sets) for criterion in stance.criteria]
    scopes += [(flag.title, flag.answers.sets) for flag in stance.red_flags if flag.answers]
    asked = {one.design.question_set: len({item.question_id for item in one.design.items}) for one in each.collections}
    for one in sets:
        questions = asked.get(one.name, 0)
        if questions < one.questions:
            titles = [title for title, names in scopes if one.name in names]
            state = "may stay inconclusive" if questions else "stays unknown"
            what = f"{one.name}: {questions} of {one.questions} questions"
            yield f"  {state}, {what}{': ' if titles else ''}{', '.join(titles)}"


def fitting(screening: ScreeningRecord, budget: Budget, base: ModelPass, stance: Stance) -> list[str]:
    """Of the promising checkpoints those for which there is time to ask what criteria with a bound need, once; at
    least the best. The best comes first, then the others by epoch.
    """
    took = [(each.seconds["ask"], each.asked) for each in screening.models if each.asked]
    an_answer = sum(seconds for seconds, _ in took) / max(sum(asked for _, asked in took), 1)
    needed = {name for criterion in bounded(stance) for name in criterion.sets}
    round_of = sum(len(one.design.questions) for one in base.collections if one.design.question_set in needed)
    models = int(SHARE * budget.left / max(an_answer * round_of, 1e-9)) - 1
    best_first = sorted(screening.promising, key=lambda name: name != screening.best)
    return best_first[: max(models, 1)]


def limited(passes: Sequence[ModelPass], numbers: Mapping[str, int]) -> list[ModelPass]:
    """The same with so many answers of each set; sets of which none is asked are left out."""
    return [
        replace(
            each,
            collections=[
                _of_size(asked, number)
                for asked in each.collections
                if (number := numbers[asked.design.question_set]) > 0
            ],
        )
        for each in passes
    ]


def _of_size(collection: Collection, number: int) -> Collection:
    items = spread(collection.design.items, number)
    return replace(collection, design=replace(collection.design, items=items))


def run_within(
    budget: Budget,
    passes: Sequence[ModelPass],
    *,
    stance: Stance,
    settings: RunSettings,
    prober: Prober | None,
    reporter: Reporter,
) -> tuple[list[ModelPass], dict[str, PassResult]]:
    """Probe and ask as much as fits into the budget; returns what was asked and what came of it.

    Raises RefusedError if probes and the first answers used all of it, and what `run_passes` raises.
    """
    names = [asked.design.question_set for asked in passes[0].collections]
    totals = {asked.design.question_set: asked.total for asked in passes[0].collections}
    present = {name: _present(passes, name) for name in names}
    first = {name for criterion in bounded(stance) for name in criterion.sets}.intersection(names) or names
    numbers = {name: min(totals[name], present[name] + (PILOT if name in first else 0)) for name in names}
    asked, results = limited(passes, numbers), dict[str, PassResult]()
    seconds = dict[tuple[str, str], float]()
    for plan in range(PLANS + 1):
        new = run_passes(asked, settings, None if plan else prober, reporter)
        results = {name: result.after(results.get(name)) for name, result in new.items()}
        seconds |= dict(_seconds_of(asked, new))
        settings = replace(settings, overwrite=False)
        asked = [replace(each, collections=[_continuing(one) for one in each.collections]) for each in asked]
        left = budget.left
        if plan == PLANS or (plan and left < WORTH_A_PLAN * budget.seconds):
            break
        sets = list(_as_planned(by_weight(stance, names), asked, passes, seconds))
        if left <= 0:
            least = budget.seconds - left + sum(max(0, each.questions - each.present) * each.seconds for each in sets)
            what = f"the budget of {duration(budget.seconds)} is used up by probes and {PILOT} answers of a set"
            raise RefusedError(what, f"what is there is kept; --budget {-(-least // 60):.0f}m asks every question once")
        planned = plan_answers(sets, SHARE * left)
        if planned == {each.name: each.present for each in sets}:
            break
        asked = limited(passes, planned)
        took = sum((planned[one.name] - one.present) * one.seconds for one in sets)
        reporter(Note(f"budget: {duration(left)} left; planned in {duration(took)}, answers of each model:"))
        reporter(Note("  " + ", ".join(f"{one.name} {planned[one.name]} of {one.total}" for one in sets)))
        for line in undecided(stance, sets, asked[0]):
            reporter(Note(line))
    return asked, results


def _present(passes: Sequence[ModelPass], name: str) -> int:
    """Answers of a set that one of the models has, or was begun to be asked."""
    return max(
        _begun(collection)
        for each in passes
        for collection in each.collections
        if collection.design.question_set == name
    )


def _begun(collection: Collection) -> int:
    plan = None
    if not collection.settings.overwrite:
        plan = read_record(collection.files.plan, CollectionRecord, "--overwrite asks anew")
    return min(plan.responses, collection.total) if plan else 0


def _continuing(collection: Collection) -> Collection:
    return replace(collection, settings=replace(collection.settings, overwrite=False))


def _seconds_of(
    passes: Sequence[ModelPass], results: Mapping[str, PassResult]
) -> Iterator[tuple[tuple[str, str], float]]:
    """(model, set) -> seconds an answer, of what was asked now."""
    for each in passes:
        for asked, collected in zip(each.collections, results[each.model.name].collected, strict=True):
            if collected.asked:
                yield (each.model.name, asked.design.question_set), collected.seconds / collected.asked


def _as_planned(
    names: Sequence[str],
    asked: Sequence[ModelPass],
    full: Sequence[ModelPass],
    seconds: Mapping[tuple[str, str], float],
) -> Iterator[AskedSet]:
    """The sets in the order of the names. Where no answer was timed, the slowest of that model's is taken."""
    now = {one.design.question_set: one for one in asked[0].collections}
    whole = {one.design.question_set: one for one in full[0].collections}
    models = [each.model.name for each in asked]
    slowest = {model: max((took for (of, _), took in seconds.items() if of == model), default=0.0) for model in models}
    for name in names:
        yield AskedSet(
            name=name,
            questions=len(whole[name].design.questions),
            total=whole[name].total,
            present=now[name].total if name in now else 0,
            seconds=sum(seconds.get((model, name), slowest[model]) for model in models),
        )
