"""From a dataclass of settings to the flags of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

import typer

Run = Callable[[Any], None]


def command(name: str, settings_type: type, group: typer.Typer) -> Callable[[Run], Run]:
    """Register a function of one settings object as a command whose flags are the settings' fields.

    Defaults and help texts are those of the dataclass, so that nothing is written twice.
    """
    hints = get_type_hints(settings_type)

    def register(run: Run) -> Run:
        def entry(**flags: Any) -> None:
            run(settings_type(**flags))

        entry.__doc__ = run.__doc__
        parameters = [
            inspect.Parameter(
                setting.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_parameter(setting),
                annotation=hints[setting.name],
            )
            for setting in fields(settings_type)
        ]
        entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        entry.__annotations__ = dict(hints)
        group.command(name)(entry)
        return run

    return register


def _parameter(setting: Field[Any]) -> Any:
    """`--resume` instead of `--resume/--no-resume` for what is off unless asked for."""
    meaning = setting.metadata["help"]
    if setting.metadata.get("argument"):
        return typer.Argument(..., help=meaning)
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    return typer.Option(default, "--" + setting.name.replace("_", "-"), help=meaning)
