"""Which answers are labelled: a stratified sample of each arm, with weights that make its estimates unbiased.

Most answers show no rare pattern. A plain sample would hold a handful of those that matter, so answers are drawn by the
rarest pattern that the rules find in them, and each stands for N_h / n_h answers of its stratum (Cochran, Sampling
Techniques, 1977, chapter 5).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epistemic_stance.records.labels import DrawnAnswer, StratumRecord
from epistemic_stance.records.response_file import Response
from epistemic_stance.scoring.patterns import PatternSet

NONE = "none"
"""Stratum of the answers in which the rules find nothing: what they miss is there."""
WANTED = 25
"""Answers to draw that show a pattern: 20 labelled positives are needed, and not every find is one."""
SHARE_OF_NONE = 3
"""At least one answer in so many has no find."""
LEAST_OF_STRATUM = 2


@dataclass(frozen=True)
class ArmAnswer:
    """An answer of an arm, in a file of answers."""

    question_set: str | None
    response: Response


@dataclass(frozen=True)
class ArmDraw:
    """What was drawn of one arm, each answer with the place that chance gave it among those of all arms."""

    strata: dict[str, StratumRecord]
    drawn: list[tuple[bytes, DrawnAnswer]]


def least_number(patterns: int) -> int:
    """The smallest sample of an arm in which every stratum can have its part."""
    return SHARE_OF_NONE * (patterns + 1)


def draw_arm(arm: str, answers: Sequence[ArmAnswer], patterns: PatternSet, number: int, seed: int) -> ArmDraw:
    """Draw `number` answers of an arm, or all of them if there are no more.

    Which ones depends on the seed and on where they stand: a larger number draws the same answers of a stratum and
    others. The ids are still to be given.
    """
    texts = [(one.response.response, one.response.question, one.response.category) for one in answers]
    found = [frozenset(hit.pattern for hit in patterns.find(*text)) for text in texts]
    members = strata_of(found)
    sizes = allocation({name: [found[index] for index in indices] for name, indices in members.items()}, number)
    drawn = []
    for name, indices in members.items():
        by_chance = sorted(indices, key=lambda index: _lot("draw", seed, arm, answers[index]))
        weight = len(indices) / sizes[name]
        for index in by_chance[: sizes[name]]:
            place = _lot("order", seed, arm, answers[index])
            drawn.append((place, _drawn(arm, answers[index], name, weight)))
    return ArmDraw({name: StratumRecord(answers=len(members[name]), drawn=sizes[name]) for name in members}, drawn)


def in_order(draws: Sequence[ArmDraw]) -> list[DrawnAnswer]:
    """The answers of all arms, shuffled and numbered: neither place nor id says anything about an answer."""
    shuffled = sorted((one for draw in draws for one in draw.drawn), key=lambda one: one[0])
    return [answer.model_copy(update={"id": f"{number:04d}"}) for number, (_, answer) in enumerate(shuffled, start=1)]


def strata_of(found: Sequence[frozenset[str]]) -> dict[str, list[int]]:
    """Stratum -> indices of its answers, the rarest pattern first and `none` last. Every answer is in one."""
    finds = Counter(pattern for patterns in found for pattern in patterns)
    rank = {pattern: place for place, pattern in enumerate(sorted(finds, key=lambda name: (finds[name], name)))}
    strata: defaultdict[str, list[int]] = defaultdict(list)
    for index, patterns in enumerate(found):
        strata[min(patterns, key=rank.__getitem__, default=NONE)].append(index)
    return {name: strata[name] for name in (*rank, NONE) if name in strata}


def allocation(strata: Mapping[str, Sequence[frozenset[str]]], number: int) -> dict[str, int]:
    """Stratum -> answers to draw of it, at least one, given what is found in each of its answers.

    A third goes to `none`; then whichever pattern has fewest gets more, until each has 25 or all it has; what is left
    goes where an answer stands for most others. If `number` does not suffice, the patterns share it evenly.
    """
    sizes = {name: len(found) for name, found in strata.items()}
    if number >= sum(sizes.values()):
        return sizes
    drawn = {name: min(size, LEAST_OF_STRATUM) for name, size in sizes.items()}
    if NONE in sizes:
        drawn[NONE] = min(sizes[NONE], -(-number // SHARE_OF_NONE))
    finds = {name: Counter(pattern for patterns in found for pattern in patterns) for name, found in strata.items()}
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


def _drawn(arm: str, answer: ArmAnswer, stratum: str, weight: float) -> DrawnAnswer:
    response = answer.response
    digest = response.origin.get("weights_digest")
    return DrawnAnswer(
        id="",
        arm=arm,
        weights_digest=digest if isinstance(digest, str) else None,
        question_set=answer.question_set,
        question_id=response.question_id,
        category=response.category,
        question=response.question,
        temperature=response.temperature,
        iteration=response.iteration,
        response=response.response,
        stratum=stratum,
        weight=weight,
    )


def _lot(purpose: str, seed: int, arm: str, answer: ArmAnswer) -> bytes:
    """A number by lot for the place of an answer: the same in every draw with this seed."""
    return hashlib.sha256(f"{purpose}|{seed}|{arm}|{answer.question_set}|{answer.response.line}".encode()).digest()
