"""Whether two files of answers may be set against each other: which questions they share, and how each was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from epistemic_stance.evaluation.rates import MOST_PARTS
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.comparison import DifferenceRecord, SideRecord
from epistemic_stance.records.response_file import Known, Response, ResponseFile
from epistemic_stance.statistics.changes import fewest_moved
from epistemic_stance.statistics.estimates import ALPHA

ASKED_ALIKE = (
    "question_set",
    "system_prompt",
    "template_digest",
    "max_tokens",
    "top_p",
    "top_k",
    "repetition_penalty",
    "backend",
    "dtype",
)
"""What has to be the same on both sides for a change to be the model's."""
ASKED = ("model", "weights_digest", "device", *ASKED_ALIKE)


@dataclass(frozen=True)
class Matched:
    """The questions of two files. A question is its text; white space does not count."""

    common: dict[str, tuple[list[Response], list[Response]]]
    """Question -> its answers before and after."""
    only_before: list[str]
    only_after: list[str]


def match_questions(before: ResponseFile, after: ResponseFile) -> Matched:
    """Raises InputError if the two files share no question."""
    first, second = _by_question(before.responses), _by_question(after.responses)
    common = {question: (answers, second[question]) for question, answers in first.items() if question in second}
    if not common:
        what = f"shares no question with {before.path}"
        hint = "both sides have to answer the same questions; questions are matched by their text"
        raise InputError([Problem(str(after.path), what, hint=hint)])
    return Matched(common, [key for key in first if key not in second], [key for key in second if key not in first])


def _by_question(responses: Iterable[Response]) -> dict[str, list[Response]]:
    questions: dict[str, list[Response]] = {}
    for response in responses:
        questions.setdefault(question_key(response.question), []).append(response)
    return questions


def describe_side(file: ResponseFile, answers: Sequence[Sequence[Response]]) -> SideRecord:
    """Provenance of one side; `answers` are those to the common questions."""
    counts = [len(of_question) for of_question in answers]
    return SideRecord(
        file=str(file.path),
        sha256=file.sha256,
        answers=len(file.responses),
        questions=len(_by_question(file.responses)),
        compared_answers=sum(counts),
        temperatures=_temperatures(file.responses),
        answers_per_question=[min(counts), max(counts)],
        asked={name: values for name in ASKED if (values := _values(file, name))},
    )


def _values(file: ResponseFile, name: str) -> list[Known]:
    """Every value that the answers have, each once; none = unknown."""
    return list(dict.fromkeys(origin[name] for origin in file.origins if name in origin))


def _temperatures(responses: Iterable[Response]) -> list[float]:
    return sorted({response.temperature for response in responses if response.temperature is not None})


def find_differences(before: ResponseFile, after: ResponseFile, matched: Matched) -> list[DifferenceRecord]:
    """What was not the same when the two sides were asked; what a file does not say differs from nothing."""
    found = []

    def note(what: str, first: str, second: str) -> None:
        found.append(DifferenceRecord(what=what, before=first, after=second))

    for name in ASKED_ALIKE:
        first, second = _values(before, name), _values(after, name)
        if first and second and set(first) != set(second):
            note(name, _shown(name, first), _shown(name, second))
    warm, warm_after = _temperatures(before.responses), _temperatures(after.responses)
    if warm and warm_after and warm != warm_after:
        note("temperatures", _shown("", warm), _shown("", warm_after))
    elif warm and warm_after and (counts := _unequal_counts(matched)):
        note("answers per question and temperature", *counts)
    if (matched.only_before or matched.only_after) and all(_values(file, "question_set") for file in (before, after)):
        note("questions that the other side lacks", str(len(matched.only_before)), str(len(matched.only_after)))
    return found


def _unequal_counts(matched: Matched) -> tuple[str, str] | None:
    """The numbers of answers to a common question at one temperature, where the sides do not agree on them."""
    both = [
        tuple(Counter(response.temperature for response in side) for side in sides) for sides in matched.common.values()
    ]
    if all(first == second for first, second in both):
        return None
    ranges = []
    for side in (0, 1):
        counts = [counter[side][key] for counter in both for key in counter[0] | counter[1]]
        ranges.append(f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(counts[0]))
    return ranges[0], ranges[1]


def _shown(name: str, values: Sequence[Known]) -> str:
    if name.endswith("digest"):
        return ", ".join(str(value)[:12] for value in values)
    return ", ".join("the template's own" if value is None else shorten(str(value)) for value in values)


def require_alike(differences: Sequence[DifferenceRecord]) -> None:
    """Raises RefusedError naming every difference with both values."""
    if differences:
        lines = [f"  {item.what}: {item.before} before, {item.after} after" for item in differences]
        raise RefusedError(
            "\n".join(["the two sides were not asked alike, so a change need not be the model's:", *lines]),
            "collect both with the same settings, or compare all the same with --allow-different",
        )


def unknown_fields(before: ResponseFile, after: ResponseFile) -> list[str]:
    """What at least one side does not say of all its answers, so that it could not be checked."""
    files = (before, after)
    unknown = [name for name in ASKED_ALIKE if any(name not in origin for file in files for origin in file.origins)]
    if any(response.temperature is None for file in files for response in file.responses):
        unknown.append("temperature")
    return unknown


def find_notices(before: ResponseFile, after: ResponseFile, matched: Matched) -> list[str]:
    """What a reader of the comparison has to know about its two sides."""
    notices = [f"{file.path.name}: {notice}" for file in (before, after) for notice in file.notices]
    digests, digests_after = _values(before, "weights_digest"), _values(after, "weights_digest")
    if before.sha256 == after.sha256:
        notices.append("the two files are the same, byte for byte")
    elif digests and digests == digests_after:
        notices.append("the two are the same model (equal weights): what differs is chance")
    for side, file in (("BEFORE", before), ("AFTER", after)):
        for name in ("weights_digest", "model"):
            if len(values := _values(file, name)) > 1:
                notices.append(f"{side} holds answers of {len(values)} models: {_shown(name, values)}")
                break
    if any(DEMO_MODEL in _values(file, name) for file in (before, after) for name in ("model", "base_model")):
        notices.append(DEMO_NOTICE)
    devices, devices_after = _values(before, "device"), _values(after, "device")
    if devices and devices_after and devices != devices_after:
        notices.append(f"asked on different devices: {_shown('', devices)} before, {_shown('', devices_after)} after")
    if unknown := unknown_fields(before, after):
        notices.append(f"not known of every answer, and so not checked to be alike: {', '.join(unknown)}")
    if matched.only_before or matched.only_after:
        left_out = f"{len(matched.only_before)} that only BEFORE has and {len(matched.only_after)} that only AFTER has"
        notices.append(f"questions left out: {left_out}")
    return notices + _question_notices(matched)


def _question_notices(matched: Matched) -> list[str]:
    notices = []
    if moved := [first for first, second in matched.common.values() if first[0].category != second[0].category]:
        names = ", ".join(shorten(answers[0].question, 40) for answers in moved[:3])
        notices.append(f"questions with another category in AFTER: {len(moved)}; BEFORE's is used: {names}")
    totals = [(len(first), len(second)) for first, second in matched.common.values()]
    if any(first != second for first, second in totals):
        notices.append("some questions have more answers on one side; each weighs the same on both")
    if (number := len({first[0].category for first, _ in matched.common.values()})) > MOST_PARTS:
        notices.append(f"there are {number} different categories, more than {MOST_PARTS}: they are not taken apart")
    if len(matched.common) < (fewest := fewest_moved(ALPHA)):
        notices.append(f"with fewer than {fewest} questions nothing can get rose or fell, however large the change")
    return notices
