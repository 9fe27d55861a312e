"""The `stance` command: one subcommand per stage. Imports its stage inside the command, so that help is instant."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import IO, Any, cast, get_type_hints

import typer
from typer.core import TyperGroup
from typer.main import get_command

from epistemic_stance import __version__
from epistemic_stance.errors import InputError, Problem, StanceError, StorageError
from epistemic_stance.settings import (
    AnalyzeSettings,
    AnswersSettings,
    CheckSettings,
    CollectSettings,
    CompareSettings,
    DemoSettings,
    FindingsSettings,
    LabelScoreSettings,
    LabelSettings,
    ProbeSettings,
    QuestionsSettings,
    ScreenSettings,
    TrainSettings,
)
from epistemic_stance.streams import Output, OutputError

app = typer.Typer(
    name="stance",
    help="Shift the stance of a small chat model with a few dozen contrastive pairs, and prove what the shift did.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _LabelGroup(TyperGroup):
    """`stance label RUN` labels a run; what comes after `label` need not name a subcommand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ("--help", "-h")
        return super().parse_args(ctx, args if named else ["run", *args])


label = typer.Typer(
    help="Label answers, and hold the patterns to what people say. `stance label RUN` is short for `stance label run "
    "RUN`.",
    rich_markup_mode=None,
    cls=_LabelGroup,
)
app.add_typer(label, name="label")


Run = Callable[[Any], None]


def command(name: str, settings_type: type, group: typer.Typer = app) -> Callable[[Run], Run]:
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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"epistemic-stance {__version__}")
        raise typer.Exit


@app.callback()
def stance(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_version),
) -> None:
    """Flags of the program itself."""


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


@command("questions", QuestionsSettings)
def questions_command(settings: QuestionsSettings) -> None:
    """List what a stance asks.

    Every question set with its size, what of it the model has seen, and the halves to choose a checkpoint by and to
    report on it.
    """
    from epistemic_stance.questions_command import run_questions

    run_questions(settings)


@command("collect", CollectSettings)
def collect_command(settings: CollectSettings) -> None:
    """Have a model answer a question set.

    Every question at every temperature, several times, one JSON line per answer. The same command again asks only
    what is missing.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.collection.collect import collect

    collect(settings, Console(highlight=False))


@command("analyze", AnalyzeSettings)
def analyze_command(settings: AnalyzeSettings) -> None:
    """Count what answers do.

    Rates of every pattern with intervals over questions, grades, examples; tables here, JSON and Markdown beside the
    answers.
    """
    from rich.console import Console

    from epistemic_stance.analysis.analyze import run_analyze

    run_analyze(settings, Console(highlight=False))


@command("compare", CompareSettings)
def compare_command(settings: CompareSettings) -> None:
    """Set two collections side by side.

    Paired by question: what changed, with an interval, for each pattern, group, category and grade.
    """
    from rich.console import Console

    from epistemic_stance.comparison.compare import run_compare

    run_compare(settings, Console(highlight=False))


@command("findings", FindingsSettings)
def findings_command(settings: FindingsSettings) -> None:
    """Write the two documents about a baseline run.

    baseline_analysis.md with all figures, BASELINE_FINDINGS.md with what they say.
    """
    from rich.console import Console

    from epistemic_stance.analysis.findings import run_findings

    run_findings(settings, Console(highlight=False))


@command("run", LabelSettings, label)
def label_run_command(settings: LabelSettings) -> None:
    """Label a sample of a run's answers.

    One key per pattern, two annotators if wished; then how well they agree, and how the rules err on each model.
    """
    from rich.console import Console

    from epistemic_stance.labelling.command import run_label

    run_label(settings, Console(highlight=False))


@command("score", LabelScoreSettings, label)
def label_score_command(settings: LabelScoreSettings) -> None:
    """Score the patterns against labels that people gave.

    Precision, recall, F1 and kappa per label and arm; exit 1 if one is below what --require asks.
    """
    from epistemic_stance.label_command import run_label_score

    run_label_score(settings)


@command("probe", ProbeSettings)
def probe_command(settings: ProbeSettings) -> None:
    """Measure models without sampling.

    Yes or no from token probabilities, multiple choice, and the distance from the base model on a neutral text; for
    one model, or for every checkpoint of a run.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.probing.probe import run_probe

    run_probe(settings, Console(highlight=False))


@command("screen", ScreenSettings)
def screen_command(settings: ScreenSettings) -> None:
    """Take a cheap first look at a run.

    Probes and a few answers of the base model and of every checkpoint, about a tenth of a full pass; says which
    checkpoints are worth one, and decides nothing.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.screening.command import run_screen

    run_screen(settings, Console(highlight=False))


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


@dataclass(frozen=True)
class Script:
    """A script of the repository root: one command under a name of its own, some of its defaults replaced."""

    name: str
    """As usage shows it."""
    command: str
    defaults: Mapping[str, str]
    """Field of the settings -> its default in this script."""


def run(arguments: Sequence[str], script: Script | None = None) -> int:
    """Run the command line and return its exit code: a message for what a user can mend, a traceback for a bug."""
    output = Output(sys.stdout or io.StringIO())
    try:
        with contextlib.redirect_stdout(cast("IO[str]", output)):
            result = _invoke(arguments, script)
            output.flush()
    except OutputError as error:
        return _unread(error.__cause__)
    except StanceError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped before there was anything to save", 128 + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback may quote text that commands a terminal
        usage = getattr(error, "format_message", None)  # click's own errors: unknown flag, wrong type
        if usage is None:
            return _fail(f"this is a bug; please report it with what follows\n{traceback.format_exc().rstrip()}", 1)
        return _fail(str(InputError([Problem("command line", usage(), hint="--help explains every flag")])), 2)
    return result if isinstance(result, int) else 0


def _invoke(arguments: Sequence[str], script: Script | None) -> Any:
    group = cast("TyperGroup", get_command(app))
    if script is None:
        return group.main(list(arguments) or ["--help"], standalone_mode=False)
    command = group.commands[script.command]
    # default_map holds defaults and not arguments, so that --help shows them as such.
    return command.main(list(arguments), script.name, standalone_mode=False, default_map=dict(script.defaults))


def _unread(cause: BaseException | None) -> int:
    """A reader that has had enough, such as `head`, is no news; 141 is what a shell calls an end by SIGPIPE."""
    if isinstance(cause, BrokenPipeError):
        return 128 + signal.SIGPIPE
    why = cause.strerror if isinstance(cause, OSError) else None
    error = StorageError(f"could not write to standard output: {why or cause}", "files written before are intact")
    return _fail(str(error), error.exit_code)


def _fail(message: str, code: int) -> int:
    from epistemic_stance.terminal import visible

    with contextlib.suppress(OSError):  # nobody may be reading: the exit code is what remains
        print(f"stance: {visible(message)}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None, script: Script | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments, script))
