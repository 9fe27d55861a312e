"""Side-by-side answers: what is marked seen, which prompt is used, and that hostile text stays text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tiny import save_tiny

from epistemic_stance.cli import demo
from epistemic_stance.cli.answers import show_answers, trained_pairs
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import AnswersSettings, DemoSettings, TrainSettings
from epistemic_stance.foundation.terminal import visible
from epistemic_stance.models.find import recorded_training
from epistemic_stance.stance.load import load_stance
from epistemic_stance.training.run import run as train


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    """One epoch on two pairs of our own, with a system prompt."""
    folder = tmp_path_factory.mktemp("answers")
    corpus = folder / "mine.json"
    pairs = [
        {
            "id": f"p{n}",
            "category": "c",
            "question": question,
            "bad_response": "Surely.",
            "good_response": "It may be so.",
        }
        for n, question in enumerate(("Is the tide in?", "Will the bridge hold?"))
    ]
    corpus.write_text(json.dumps({"training_pairs": pairs}))
    settings = TrainSettings(
        model=str(save_tiny(folder / "model")),
        corpus=corpus,
        output_dir=folder / "run",
        epochs=1,
        system_prompt="Answer as a lighthouse keeper.",
        eval_questions=0,
        device="cpu",
    )
    train(settings, silent)
    return settings


def shown(settings: AnswersSettings) -> str:
    console = quiet()
    show_answers(settings, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_seen_questions_are_those_the_checkpoint_was_trained_on(run: TrainSettings) -> None:
    table = shown(AnswersSettings(model=str(run.output_dir / "checkpoint-1"), unseen=1, facts=1, max_new_tokens=4))
    rows = [line for line in table.splitlines() if "seen" in line or "fact" in line]
    assert "Is the tide in?" in rows[0]
    assert "Will the bridge" in rows[1]
    assert [row.split()[1] for row in rows] == ["seen", "seen", "unseen", "fact"]
    assert f"before: {Path(run.model).name}"[:8] in table


def test_a_changed_corpus_makes_no_claim_about_what_was_seen(run: TrainSettings) -> None:
    trained = recorded_training(run.output_dir / "final_model")
    assert trained is not None
    assert trained.system_prompt == "Answer as a lighthouse keeper."
    stance = load_stance("epistemic")
    assert len(trained_pairs(trained, stance) or []) == 2
    changed = trained.model_copy(update={"corpus_digest": "0" * 64})
    assert trained_pairs(changed, stance) is None


def test_a_model_without_metadata_needs_a_base(run: TrainSettings) -> None:
    with pytest.raises(InputError, match="--base"):
        show_answers(AnswersSettings(model=run.model), quiet())


def test_demo_never_replaces_another_models_run(run: TrainSettings) -> None:
    with pytest.raises(RefusedError, match="not a demo"):
        demo.run_demo(replace(DemoSettings(), output_dir=run.output_dir), quiet())
    assert (run.output_dir / "final_model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\x9b31m", r"\x9b31m"),
        ("[red]kept[/red]\n\ttoo", "[red]kept[/red]\n\ttoo"),
        ("caf\u00e9 \u4f60\u597d", "caf\u00e9 \u4f60\u597d"),
    ],
)
def test_model_text_cannot_command_the_terminal(hostile: str, harmless: str) -> None:
    assert visible(hostile) == harmless
