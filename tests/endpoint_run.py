"""A client of the stub server, and what it brings back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from endpoint_stub import (
    Ask,
    Behaviour,
    answer,
    stub,
)

from epistemic_stance.collection.backend import Group, Reply
from epistemic_stance.collection.design import Item, plan_items
from epistemic_stance.collection.endpoint import EndpointBackend, open_endpoint
from epistemic_stance.foundation.errors import StanceError
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.sampling_config import SamplingConfig

SAMPLING = SamplingConfig(max_new_tokens=16, top_p=1.0, top_k=0, repetition_penalty=1.0)
VARIABLE = "STANCE_TEST_KEY"
CANARY = "sk-canary/7f3a+9c1e==&b52d"
NOTHING_LISTENS = "http://127.0.0.1:9/v1"


def backend(
    url: str,
    sampling: SamplingConfig = SAMPLING,
    system_prompt: str | None = None,
    on_trouble: Callable[[str], None] = lambda what: None,
    retries: int = 1,
    **changes: Any,
) -> EndpointBackend:
    given = {"concurrency": 4, "request_timeout": 5.0, "api_key_variable": VARIABLE, **changes}
    settings = CollectSettings(model="tiny", endpoint=url, **given)
    return open_endpoint(settings, sampling, system_prompt, on_trouble, retries)


def items(questions: int, iterations: int = 1) -> list[Item]:
    asked = [(f"q{number:03d}", "facts", f"Question {number}?") for number in range(questions)]
    return plan_items(asked, [0.7], iterations, seed=42)


def singles(questions: int, iterations: int = 1) -> list[Group]:
    return [(item,) for item in items(questions, iterations)]


def collected(server: EndpointBackend, groups: list[Group]) -> tuple[list[tuple[Item, Reply]], StanceError | None]:
    """Everything that was answered, and the error that ended it."""
    answered: list[tuple[Item, Reply]] = []
    try:
        for group, replies in server.answers(groups):
            answered += zip(group, replies, strict=True)
    except StanceError as error:
        return answered, error
    return answered, None


def only_reply(behaviour: Behaviour, **changes: Any) -> Reply:
    with stub(lambda ask: behaviour) as server:
        answered, error = collected(backend(server.url, **changes), singles(1))
    assert error is None
    return answered[0][1]


def once(behaviour: Behaviour) -> Callable[[Ask], Behaviour]:
    """Misbehave at the first attempt of each request, then answer."""
    return lambda ask: behaviour if ask.attempt == 1 else answer()
