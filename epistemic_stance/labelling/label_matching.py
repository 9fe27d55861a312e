"""Which answer of a file a drawn answer is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.labelling.labels import SampledAnswer
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.records.response_file import Response

Place = tuple[str, float | None, int | None, str]
DrawnPlace = tuple[str, str | None, Place, int]


def matched(
    answers: Iterable[SampledAnswer], responses: Iterable[tuple[str | None, Response]]
) -> list[tuple[SampledAnswer, Response]]:
    """Drawn answers, each with the response that it is, given responses with their question sets.

    It is the one with the same set, question, temperature, iteration and text; no response is taken twice. A set that
    one side does not know is like any.
    """
    waiting: defaultdict[Place, list[SampledAnswer]] = defaultdict(list)
    for answer in answers:
        waiting[place_in_plan(answer.drawn)].append(answer)
    texts = {answer.drawn.response for left in waiting.values() for answer in left}
    found = []
    for question_set, response in responses:
        left = waiting.get(place_in_plan(response), []) if response.response in texts else []
        for index, answer in enumerate(left):
            if None in (question_set, answer.drawn.question_set) or question_set == answer.drawn.question_set:
                found.append((left.pop(index), response))
                break
    return found


def place_in_plan(answer: DrawnAnswer | Response) -> Place:
    """Question, temperature, iteration and text of an answer."""
    return question_key(answer.question), answer.temperature, answer.iteration, answer.response


def drawn_places(drawn: Sequence[DrawnAnswer]) -> dict[str, DrawnPlace]:
    """Id -> arm, set, place in the plan, and which of those that stand there: the same in every sample."""
    seen: Counter[tuple[str, str | None, Place]] = Counter()
    places = {}
    for answer in drawn:
        place = (answer.arm, answer.question_set, place_in_plan(answer))
        seen[place] += 1
        places[answer.id] = (*place, seen[place])
    return places
