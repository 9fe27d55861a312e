"""From a dataclass of settings to the flags of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

import typer

Run = Callable[[Any], None]
Complete = Callable[[Any, Collection[str]], Any]


def command(
    name: str, settings_type: type, group: typer.Typer, complete: Complete = lambda settings, _: settings
) -> Callable[[Run], Run]:
    """Register a function of one settings object as a command whose flags are the settings' fields.

    Defaults and help texts are those of the dataclass, so that nothing is written twice.

    Args:
        complete: makes the settings of those parsed and the names of the fields that the command line gave.
    """
    hints = get_type_hints(settings_type)

    def register(run: Run) -> Run:
        def entry(ctx: typer.Context, **flags: Any) -> None:
            run(complete(settings_type(**flags), {name for name in flags if _is_given(ctx, name)}))

        entry.__doc__ = run.__doc__
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [
            inspect.Parameter(
                setting.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_parameter(setting),
                annotation=hints[setting.name],
            )
            for setting in fields(settings_type)
        ]
        entry.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        entry.__annotations__ = {"ctx": typer.Context, **hints}
        group.command(name)(entry)
        return run

    return register


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether the command line says it, rather than a default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _parameter(setting: Field[Any]) -> Any:
    """`--resume` instead of `--resume/--no-resume` for what is off unless asked for."""
    meaning = setting.metadata["help"]
    if setting.metadata.get("argument"):
        return typer.Argument(..., help=meaning)
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    return typer.Option(default, "--" + setting.name.replace("_", "-"), help=meaning)
