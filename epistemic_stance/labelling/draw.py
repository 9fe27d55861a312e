"""Which answers are labelled: a sample of each model, with weights that make its estimates unbiased.

For criteria it is a simple random one: their rates are not rare, and a share of the labels is then an estimate that no
error of the rules can harm. For single patterns it is stratified: most answers show no rare pattern, and a plain sample
would hold a handful of those that matter. They are drawn by the rarest pattern that the rules find in them, and each
stands for N_h / n_h answers of its stratum (Cochran, Sampling Techniques, 1977, chapter 5).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.scoring.run import Answer

ALL = "all"
"""The one stratum of a simple random sample."""
NONE = "none"
"""Stratum of the answers in which the rules find nothing: what they miss is there."""
WANTED = 25
"""Answers to draw that show a pattern: 20 labelled positives are needed, and not every find is one."""
SHARE_OF_NONE = 3
"""At least one answer in so many has no find."""
LEAST_OF_STRATUM = 2
SEED = 42


@dataclass(frozen=True)
class Candidate:
    """An answer that can be drawn."""

    model: str
    question_set: str | None
    answer: Answer


def least_number(patterns: int) -> int:
    """The smallest sample of a model in which every stratum can have its part."""
    return SHARE_OF_NONE * (patterns + 1)


def draw_simple(candidates: Sequence[Candidate], number: int) -> list[DrawnAnswer]:
    """Draw `number` answers of one model, each with the same chance, or all of them if there are no more.

    A larger number draws the same answers and others. The ids are still to be given.
    """
    by_chance = sorted(candidates, key=_lot)[:number]
    return [_drawn(candidate, ALL, len(candidates) / len(by_chance)) for candidate in by_chance]


def draw_stratified(candidates: Sequence[Candidate], number: int) -> list[DrawnAnswer]:
    """The same by what the rules find in the answers.

    A larger number draws the same answers of a stratum and others. The ids are still to be given.
    """
    patterns = [frozenset(candidate.answer.score.patterns) for candidate in candidates]
    strata = strata_of(patterns)
    sizes = allocation({name: [patterns[index] for index in indices] for name, indices in strata.items()}, number)
    drawn = []
    for name, indices in strata.items():
        by_chance = sorted(indices, key=lambda index: _lot(candidates[index]))
        drawn += [_drawn(candidates[index], name, len(indices) / sizes[name]) for index in by_chance[: sizes[name]]]
    return drawn


def strata_of(answers: Sequence[frozenset[str]]) -> dict[str, list[int]]:
    """Stratum -> indices of its answers, the rarest pattern first and `none` last, given what is found in each.

    Every answer is in one stratum.
    """
    finds = Counter(pattern for patterns in answers for pattern in patterns)
    rank = {pattern: place for place, pattern in enumerate(sorted(finds, key=lambda name: (finds[name], name)))}
    strata: defaultdict[str, list[int]] = defaultdict(list)
    for index, patterns in enumerate(answers):
        strata[min(patterns, key=rank.__getitem__, default=NONE)].append(index)
    return {name: strata[name] for name in (*rank, NONE) if name in strata}


def allocation(strata: Mapping[str, Sequence[frozenset[str]]], number: int) -> dict[str, int]:
    """Stratum -> answers to draw of it, at least one, given what is found in each of its answers.

    A third goes to `none`; then whichever pattern has fewest gets more, until each has 25 or all it has; what is left
    goes where an answer stands for most others. If `number` does not suffice, the patterns share it evenly.
    """
    sizes = {name: len(answers) for name, answers in strata.items()}
    if number >= sum(sizes.values()):
        return sizes
    drawn = {name: min(size, LEAST_OF_STRATUM) for name, size in sizes.items()}
    if NONE in sizes:
        drawn[NONE] = min(sizes[NONE], -(-number // SHARE_OF_NONE))
    finds = {name: Counter(pattern for patterns in answers for pattern in patterns) for name, answers in strata.items()}
    wanted = {pattern: min(WANTED, count) for pattern, count in sum(finds.values(), Counter[str]()).items()}
    expected = {
        pattern: sum(drawn[name] * finds[name][pattern] / sizes[name] for name in sizes) for pattern in sorted(wanted)
    }
    while sum(drawn.values()) < number:
        left = [name for name in sizes if drawn[name] < sizes[name]]
        needy = {
            pattern: expected[pattern]
            for pattern in expected
            if expected[pattern] < wanted[pattern] and any(finds[name][pattern] for name in left)
        }
        if needy:
            pattern = min(needy, key=needy.__getitem__)
            chosen = max(left, key=lambda name: finds[name][pattern] / sizes[name])
        else:
            chosen = max(left, key=lambda name: sizes[name] / drawn[name])
        drawn[chosen] += 1
        for pattern, count in finds[chosen].items():
            expected[pattern] += count / sizes[chosen]
    return drawn


def _drawn(candidate: Candidate, stratum: str, weight: float) -> DrawnAnswer:
    response = candidate.answer.response
    digest = response.origin.get("weights_digest")
    return DrawnAnswer(
        id="",
        model=candidate.model,
        weights_digest=digest if isinstance(digest, str) else None,
        question_set=candidate.question_set,
        line=response.line,
        category=response.category,
        question=response.question,
        temperature=response.temperature,
        iteration=response.iteration,
        response=response.response,
        stratum=stratum,
        weight=weight,
    )


def _lot(candidate: Candidate) -> str:
    return lot(f"draw|{candidate.model}|{candidate.question_set}|{candidate.answer.response.line}")


def lot(text: str) -> str:
    """A place by chance, the same in every call."""
    return hashlib.sha256(f"{SEED}|{text}".encode()).hexdigest()
