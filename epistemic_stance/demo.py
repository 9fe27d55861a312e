"""The demo: the whole job on the embedded model. Train, ask both models both question sets, analyse, compare."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from epistemic_stance.analysis.analyze import run_analyze
from epistemic_stance.answers import show_answers
from epistemic_stance.collection.collect import collect
from epistemic_stance.comparison.compare import compare
from epistemic_stance.comparison.tables import HOW_TO_READ, print_changes
from epistemic_stance.errors import RefusedError
from epistemic_stance.settings import (
    DEMO_MODEL,
    DEMO_NOTICE,
    AnalyzeSettings,
    AnswersSettings,
    CollectSettings,
    CompareSettings,
    DemoSettings,
    TrainSettings,
)
from epistemic_stance.terminal import plain
from epistemic_stance.training.prepare import read_inputs
from epistemic_stance.training.run_folder import RunFolder
from epistemic_stance.training.start import train

RECIPE = replace(
    TrainSettings(),
    model=DEMO_MODEL,
    learning_rate=3e-4,
    nll_weight=0.2,
    lr_schedule="constant",
    checkpoint_every=100,
    checkpoint_at="1,2,3,5,8",
    overwrite=True,
)
"""The guide's own recipe (learning rate 1e-5, no NLL term) satisfies the loss without moving this model's unseen
answers; see docs/experiments.md."""

QUESTION_SETS = ("phase1", "baseline")


def run_demo(settings: DemoSettings, console: Console) -> None:
    """Train, print base and tuned answers, then what changed over both question sets. Raises what its stages raise."""
    console.print(plain(f"note: {DEMO_NOTICE}", "yellow"))
    earlier = RunFolder(settings.output_dir)
    record = earlier.record()
    if earlier.holds_a_run() and (record is None or record.base_model != DEMO_MODEL):
        what = "files of unknown origin" if record is None else f"a run of {record.base_model}"
        raise RefusedError(f"{settings.output_dir} holds {what}, not a demo", "choose another --output-dir")
    wanted = [epoch for epoch in (1, 2, 3, 5, 8) if epoch <= settings.epochs]
    recipe = replace(
        RECIPE,
        epochs=settings.epochs,
        output_dir=settings.output_dir,
        threads=settings.threads,
        checkpoint_at=",".join(map(str, wanted)),
    )
    folder = train(read_inputs(recipe), console)
    tuned = folder.checkpoint(settings.epochs)
    show_answers(AnswersSettings(model=str(tuned), base=DEMO_MODEL), console)
    for questions in QUESTION_SETS:
        before, after = (
            answers_of(model, questions, folder.root / "validation" / name / questions, settings.threads, console)
            for name, model in (("base", DEMO_MODEL), (tuned.name, str(tuned)))
        )
        comparison, compared_in = compare(CompareSettings(before=before, after=after))
        console.print(plain(f"\n{questions}, {comparison.questions} questions, before and after training:", "bold"))
        print_changes(comparison, console)
        console.print(plain(f"All of it, with the answers: {compared_in}/comparison.md"), soft_wrap=True)
    console.print(f"\n{HOW_TO_READ}")


def answers_of(model: str, questions: str, folder: Path, threads: int, console: Console) -> Path:
    """Collect and analyse; of both only where they lie is printed, for the comparison says more than either."""
    console.print(plain(f"{model} answers {questions} ..."), soft_wrap=True)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        silent = Console(file=nowhere)
        collect(CollectSettings(model, questions=questions, output_dir=folder, threads=threads, overwrite=True), silent)
        run_analyze(AnalyzeSettings(folder), silent)
    console.print(plain(f"  {folder}/responses.jsonl, analysis.md"), soft_wrap=True)
    return folder
