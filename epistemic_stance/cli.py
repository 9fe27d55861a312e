"""The `stance` command: one subcommand per stage. Imports its stage inside the command, so that help is instant."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import typer

from epistemic_stance import __version__
from epistemic_stance.errors import InputError, Problem, StanceError
from epistemic_stance.settings import AnswersSettings, CheckSettings, DemoSettings, TrainSettings

app = typer.Typer(
    name="stance",
    help="Shift the stance of a small chat model with a few dozen contrastive pairs, and prove what the shift did.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def command(name: str, settings_type: type) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function of one settings object as a command whose flags are the settings' fields.

    Defaults and help texts are those of the dataclass, so that nothing is written twice.
    """
    hints = get_type_hints(settings_type)

    def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
        def entry(**flags: Any) -> None:
            run(settings_type(**flags))

        entry.__doc__ = run.__doc__
        parameters = [
            inspect.Parameter(
                setting.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=typer.Option(setting.default, *_flag(setting), help=setting.metadata["help"]),
                annotation=hints[setting.name],
            )
            for setting in fields(settings_type)
        ]
        entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        entry.__annotations__ = dict(hints)
        app.command(name)(entry)
        return run

    return register


def _flag(setting: Any) -> tuple[str, ...]:
    """`--resume` instead of `--resume/--no-resume` for what is off unless asked for."""
    return ("--" + setting.name.replace("_", "-"),)


@app.callback()
def stance(version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
    if version:
        typer.echo(f"epistemic-stance {__version__}")
        raise typer.Exit


@command("train", TrainSettings)
def train_command(settings: TrainSettings) -> None:
    """Train a model on contrastive pairs.

    Direct Preference Optimization with a checkpoint every few epochs, guards from the first step, and a look at
    what unseen questions are answered at every checkpoint.
    """
    from rich.console import Console

    from epistemic_stance.training.prepare import read_inputs

    inputs = read_inputs(settings)
    _quiet_libraries()
    from epistemic_stance.training.start import train

    train(inputs, Console(highlight=False))


@command("check", CheckSettings)
def check_command(settings: CheckSettings) -> None:
    """Lint a stance before training.

    Corpus, question sets and, with --model, tokens: every problem at once, as file:line: field: what (hint).
    """
    _quiet_libraries()
    from epistemic_stance.check_command import run_check

    run_check(settings)


@command("answers", AnswersSettings)
def answers_command(settings: AnswersSettings) -> None:
    """Ask two models, side by side.

    Greedy answers of a base model and a checkpoint to questions that were trained on and to others.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.answers import show_answers

    show_answers(settings, Console(highlight=False))


@command("demo", DemoSettings)
def demo_command(settings: DemoSettings) -> None:
    """See the whole job in minutes.

    Train the embedded demo model on the shipped pairs and show its answers before and after.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.demo import run_demo

    run_demo(settings, Console(highlight=False))


def _quiet_libraries() -> None:
    """Progress bars and advice of the libraries would drown what the command itself has to say."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code: a message for what a user can mend, a traceback for a bug."""
    try:
        result = app(args=list(arguments) or ["--help"], standalone_mode=False)
    except StanceError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped before there was anything to save", 128 + signal.SIGINT)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback may quote text that commands a terminal
        usage = getattr(error, "format_message", None)  # click's own errors: unknown flag, wrong type
        if usage is None:
            return _fail(f"this is a bug; please report it with what follows\n{traceback.format_exc().rstrip()}", 1)
        return _fail(str(InputError([Problem("command line", usage(), hint="--help explains every flag")])), 2)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    from epistemic_stance.terminal import visible

    with contextlib.suppress(OSError):  # nobody may be reading: the exit code is what remains
        print(f"stance: {visible(message)}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
