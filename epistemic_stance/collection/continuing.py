"""Whether a collection that was begun may be continued, and which one a command without --output-dir means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from epistemic_stance.collection.store import OVERWRITE_HINT, ResponseFile
from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import PLAN_SUFFIX

MUST_MATCH = (
    "question_set",
    "questions_digest",
    "categories",
    "temperatures",
    "iterations",
    "responses",
    "system_prompt",
    "sampling",
    "max_new_tokens",
    "seed",
    "backend",
    "endpoint",
    "weights_digest",
    "tokenizer_digest",
    "template_digest",
    "template_arguments",
    "device",
    "dtype",
    "slots",
    "threads",
)
"""What decides the text of the answers, down to the last bits that slots and threads decide."""
MAY_DIFFER = ("stance", "model", "products", "versions")
"""What is said, but not refused: a stance or a model by another name is still the same questions and weights, and no
one downgrades torch for the second half of a collection. Every line says the versions it was made with."""


def differences(stored: CollectionRecord, now: Mapping[str, Any], names: tuple[str, ...] = MUST_MATCH) -> list[str]:
    """Fields whose values are not those of the stored plan; only of what is known by `now`."""
    was = stored.model_dump(mode="json")
    if stored.backend == "endpoint" and names is MUST_MATCH:
        names = ("model", *names)  # nothing else says which weights a server has
    return [
        f"{name}: was {_shown(was[name])}, is {_shown(now[name])}"
        for name in names
        if name in now and was[name] != now[name]
    ]


def require_same(stored: CollectionRecord, now: Mapping[str, Any], path: Path) -> None:
    """Raises RefusedError naming what changed."""
    changed = differences(stored, now)
    if changed:
        what = f"{path} holds the answers of another collection, which this would not continue:\n  "
        raise RefusedError(what + "\n  ".join(changed), OVERWRITE_HINT)


def newest_unfinished(
    folder: Path, prefix: str, now: Mapping[str, Any]
) -> tuple[ResponseFile, CollectionRecord] | None:
    """The last begun collection under a default name that has this plan and was not finished."""
    for plan_path in sorted(folder.glob(f"{prefix}_responses_*{PLAN_SUFFIX}"), reverse=True):
        file = ResponseFile(plan_path.with_name(plan_path.name.removesuffix(PLAN_SUFFIX) + ".jsonl"))
        try:
            plan = file.plan()
        except RefusedError:
            continue  # not ours: it is left alone
        if plan is not None and plan.status != "finished" and not differences(plan, now):
            return file, plan
    return None


def new_file(folder: Path, prefix: str, now: datetime) -> ResponseFile:
    """A file under the default name of this moment, or of the first second after it that is free."""
    while True:
        file = ResponseFile(folder / f"{prefix}_responses_{now:%Y%m%d_%H%M%S}.jsonl")
        if not file.path.exists() and not file.plan_path.exists():
            return file
        now += timedelta(seconds=1)


def _shown(value: Any) -> str:
    return shorten(value if isinstance(value, str) else json.dumps(value), 80)
