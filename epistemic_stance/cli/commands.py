"""The commands: each is a function of its settings and imports its stage inside, so that help is instant."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from epistemic_stance import __version__
from epistemic_stance.cli.flags import command
from epistemic_stance.foundation.recipes import with_recipe
from epistemic_stance.foundation.settings import (
    AnalyzeSettings,
    AnswersSettings,
    ChatSettings,
    CheckSettings,
    CollectSettings,
    CompareSettings,
    DemoSettings,
    FindingsSettings,
    LabelScoreSettings,
    LabelSettings,
    ProbeSettings,
    QuestionsSettings,
    ReportSettings,
    RunSettings,
    ScoreSettings,
    SelectSettings,
    StatusSettings,
    SuggestSettings,
    TrainSettings,
    ValidateSettings,
)

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
corpus = typer.Typer(help="Work on a corpus of pairs.", rich_markup_mode=None)
app.add_typer(corpus, name="corpus")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"epistemic-stance {__version__}")
        raise typer.Exit


@app.callback()
def stance(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_version),
) -> None:
    """Flags of the program itself."""


@command("train", TrainSettings, app, complete=with_recipe)
def train_command(settings: TrainSettings) -> None:
    """Train a model on contrastive pairs.

    Direct Preference Optimization with a checkpoint every few epochs, guards from the first step, and a look at
    what unseen questions are answered at every checkpoint.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.train import train

    train(settings, Console(highlight=False))


@command("check", CheckSettings, app)
def check_command(settings: CheckSettings) -> None:
    """Lint a stance before training.

    Corpus, question sets and, with --model, tokens and log-probabilities: every problem at once, as file:line: field:
    what (hint).
    """
    _quiet_libraries()
    from epistemic_stance.cli.check import run_check

    run_check(settings)


@command("suggest", SuggestSettings, corpus)
def suggest_command(settings: SuggestSettings) -> None:
    """Draw a model's own answers as rejected ones.

    Asks the model every training question once and writes a new corpus: chosen answers as they are, and the rejected
    answer of a pair replaced by what the model said, where that is whole and shows what the corpus is meant to remove.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.suggest import suggest

    suggest(settings, Console(highlight=False))


@command("questions", QuestionsSettings, app)
def questions_command(settings: QuestionsSettings) -> None:
    """List what a stance asks.

    Every question set with its size, what of it the model has seen, and the halves to choose a checkpoint by and to
    report on it.
    """
    from epistemic_stance.cli.questions import run_questions

    run_questions(settings)


@command("collect", CollectSettings, app)
def collect_command(settings: CollectSettings) -> None:
    """Have a model answer a question set.

    Every question at every temperature, several times, one JSON line per answer. The same command again asks only
    what is missing.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.terminal_reporter import terminal_reporter
    from epistemic_stance.collection.run import run

    with terminal_reporter(Console(highlight=False)) as reporter:
        run(settings, reporter)


@command("score", ScoreSettings, app)
def score_command(settings: ScoreSettings) -> None:
    """Score answers, once.

    Patterns, grades, copying and form of every answer, one JSON line each; analyze, compare, select and report read
    them, and score only what is missing or was made of something else.
    """
    from epistemic_stance.cli.evaluate import score_answers

    score_answers(settings)


@command("analyze", AnalyzeSettings, app)
def analyze_command(settings: AnalyzeSettings) -> None:
    """Count what answers do.

    Rates of every pattern with intervals over questions, grades, examples; tables here, JSON and Markdown beside the
    answers.
    """
    from epistemic_stance.cli.evaluate import analyze_answers

    analyze_answers(settings)


@command("compare", CompareSettings, app)
def compare_command(settings: CompareSettings) -> None:
    """Set two collections side by side.

    Paired by question: what changed, with an interval, for each pattern, group, category and grade.
    """
    from epistemic_stance.cli.evaluate import compare_answers

    compare_answers(settings)


@command("findings", FindingsSettings, app)
def findings_command(settings: FindingsSettings) -> None:
    """Write the two documents about a baseline run.

    baseline_analysis.md with all figures, BASELINE_FINDINGS.md with what they say.
    """
    from rich.console import Console

    from epistemic_stance.report.findings import run_findings

    run_findings(settings, Console(highlight=False))


@command("run", LabelSettings, label)
def label_run_command(settings: LabelSettings) -> None:
    """Label a sample of a run's answers.

    Writes the sample as a CSV file to fill in; of what is filled in it prints how well people agree, how the rules err
    on each model, and the rates that people would find.
    """
    from epistemic_stance.cli.label import label_answers

    label_answers(settings)


@command("score", LabelScoreSettings, label)
def label_score_command(settings: LabelScoreSettings) -> None:
    """Score the patterns against labels that people gave.

    Precision, recall, F1 and kappa per label and group; exit 1 if one is below what --require asks.
    """
    from epistemic_stance.cli.label import score_labels

    score_labels(settings)


@command("probe", ProbeSettings, app)
def probe_command(settings: ProbeSettings) -> None:
    """Measure models without sampling.

    Yes or no from token probabilities, multiple choice, and the distance from the base model on a neutral text; for
    one model, or for every checkpoint of a run.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.terminal_reporter import terminal_reporter
    from epistemic_stance.probing.run import require_finite, run
    from epistemic_stance.report.probe_table import print_probes

    console = Console(highlight=False)
    with terminal_reporter(console) as reporter:
        probes = run(settings, reporter)
    print_probes([model.name for model in probes.target.models], probes.records, console)
    require_finite(probes)


@command("validate", ValidateSettings, app)
def validate_command(settings: ValidateSettings) -> None:
    """Ask base and checkpoints everything.

    A cheap first look at all checkpoints (alone with --screen: about a tenth of a full pass, it says which checkpoints
    are worth one and decides nothing), then all question sets of the base model and the promising ones, analysed and
    compared.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.validate import run_validate

    run_validate(settings, Console(highlight=False))


@command("select", SelectSettings, app)
def select_command(settings: SelectSettings) -> None:
    """Choose a checkpoint, or none.

    Success criteria and red flags of every checkpoint that answered, and the one that a rule written beforehand
    chooses; exit 1 if none qualifies or the chosen one does not meet a criterion.
    """
    from epistemic_stance.cli.evaluate import select_checkpoint

    select_checkpoint(settings)


@command("report", ReportSettings, app)
def report_command(settings: ReportSettings) -> None:
    """Show a run on one page.

    Verdicts, curves, answers side by side and provenance of a run, as an HTML file that works offline, and the same as
    Markdown without the answers.
    """
    from epistemic_stance.cli.evaluate import write_report

    write_report(settings)


@command("run", RunSettings, app)
def run_command(settings: RunSettings) -> None:
    """From checkpoints to a choice and a report.

    validate, select and report, one after the other; what is finished and unchanged is not done again.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.run import run_pipeline

    run_pipeline(settings, Console(highlight=False))


@command("answers", AnswersSettings, app)
def answers_command(settings: AnswersSettings) -> None:
    """Ask two models, side by side.

    Greedy answers of a base model and a checkpoint to questions that were trained on and to others.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.answers import show_answers

    show_answers(settings, Console(highlight=False))


@command("chat", ChatSettings, app)
def chat_command(settings: ChatSettings) -> None:
    """Talk to a model.

    To one, or to a base model and what was trained from it, side by side; in the terminal, or one question a line
    from a pipe.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.chat import run_chat

    run_chat(settings, Console(highlight=False))


@command("status", StatusSettings, app)
def status_command(settings: StatusSettings) -> None:
    """Say what is in place and what is missing.

    One table from the model to the report, here and in PHASE2_READY.md: done, missing, damaged or unfinished, and the
    next command.
    """
    from rich.console import Console

    from epistemic_stance.cli.status import run_status

    run_status(settings, Console(highlight=False))


@command("demo", DemoSettings, app)
def demo_command(settings: DemoSettings) -> None:
    """See the whole job in minutes.

    Train the embedded demo model on the shipped pairs and show its answers before and after.
    """
    _quiet_libraries()
    from rich.console import Console

    from epistemic_stance.cli.demo import run_demo

    run_demo(settings, Console(highlight=False))


def _quiet_libraries() -> None:
    """Progress bars and advice of the libraries would drown what the command itself has to say."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
