"""Model cards: what stands in them, what never does, and that a card changes no model folder."""

from __future__ import annotations

import io
import json
import platform
import shutil
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from small_run import at_step, small_settings, terminate

from epistemic_stance.cli import train as command
from epistemic_stance.cli.evaluate import select_checkpoint
from epistemic_stance.cli.train import train
from epistemic_stance.evaluation import select
from epistemic_stance.foundation.errors import NotMetError, StoppedError
from epistemic_stance.foundation.files import link_folder, verify_manifest
from epistemic_stance.foundation.reporter import to_all
from epistemic_stance.foundation.settings import DEFAULT_MODEL, DEMO_NOTICE, SelectSettings, TrainSettings
from epistemic_stance.models.find import find_model, recorded_training
from epistemic_stance.records.analysis import RateRecord
from epistemic_stance.records.run_folder import VALIDATION, RunFolder
from epistemic_stance.records.validation import (
    CandidateRecord,
    CriterionRecord,
    CriterionVerdict,
    FlagChangeRecord,
    FlagRecord,
    FlagState,
    GainRecord,
    PlainRateRecord,
    RuleRecord,
    SelectionRecord,
)
from epistemic_stance.records.written import Scope
from epistemic_stance.report.cards import MARK, CardFacts, card_text, write_cards
from epistemic_stance.training.run import run as run_training

NOT_YET = "Not validated yet: `stance run RUN`"
NAMES = ("checkpoint-002", "checkpoint-003")
HOSTILE = (
    '</td><script>alert(1)</script>\n---\nlicense: mit\n# up | [x](http://x.y) ![i](j) `c` **b** \u202eeo "q" \\ ```'
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return small_settings(tmp_path_factory.mktemp("carded"))


@pytest.fixture(scope="module")
def finished(made: TrainSettings) -> RunFolder:
    """A run as training leaves it; only read."""
    return trained(made)


def trained(settings: TrainSettings) -> RunFolder:
    train(settings, quiet())
    return RunFolder(settings.output_dir)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


@pytest.fixture
def folder(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A run of one's own, its links kept."""
    shutil.copytree(finished.root / "checkpoints", tmp_path / "run" / "checkpoints")
    shutil.copy(finished.record_path, tmp_path / "run")
    own = RunFolder(tmp_path / "run")
    for linked, name in ((own.best, NAMES[0]), (own.final, NAMES[1])):
        link_folder(own.checkpoints / name, linked)
    return own


def rate(estimate: float) -> RateRecord:
    low, high = max(estimate - 0.05, 0.0), min(estimate + 0.05, 1.0)
    return RateRecord(estimate=estimate, low=low, high=high, questions=177, answers=1160)


def criterion(verdict: CriterionVerdict = "not met", title: str = "Says it once") -> CriterionRecord:
    return CriterionRecord(
        name="once",
        title=title,
        scope=Scope(measures=["pragmatic"], sets=["phase1"]),
        at_least=0.3,
        at_most=None,
        base=rate(0.125),
        rate=rate(0.2),
        corrected=None,
        change=None,
        verdict=verdict,
        needed=932 if verdict == "inconclusive" else None,
        plain_base=PlainRateRecord(estimate=0.04, answers=24),
        plain=PlainRateRecord(estimate=0.25, answers=24),
    )


def flag(state: FlagState = "raised") -> FlagRecord:
    return FlagRecord(
        name="accuracy",
        title="Factual accuracy",
        measured="right in capability",
        bad="fall",
        margin=0.04,
        change=FlagChangeRecord(before=0.5, after=0.4, change=-0.1, low=-0.15, high=-0.06, questions=400),
        state=state,
        needed=None,
        hint="",
        examples=[],
    )


def candidate(name: str, criteria: Sequence[CriterionRecord], flags: Sequence[FlagRecord]) -> CandidateRecord:
    gain = GainRecord.model_construct(change=0.2155, band_low=0.1758, band_high=0.2552)
    return CandidateRecord(
        name=name,
        epoch=int(name.split("-")[1]),
        band=None,
        loss=0.1,
        answers={},
        sha256={},
        problems=[],
        gain=None,
        report_gain=gain if criteria else None,
        capability=None,
        kl=None,
        criteria=list(criteria),
        flags=list(flags),
        on_front=False,
        near_best=False,
        note="",
    )


def selection(chosen: str | None, *candidates: CandidateRecord, reason: str = "because of it") -> SelectionRecord:
    rule = RuleRecord.model_construct(digest="ab" * 32, rule="the highest")
    return SelectionRecord(
        timestamp="2026-01-02T03:04:05+00:00",
        run="/srv/somebody/runs/one",
        stance="epistemic",
        corpus_digest="cd" * 32,
        rule=rule,
        frozen="before",
        seed=0,
        base_answers={},
        base_sha256={},
        notices=["labels in /srv/somebody/labels"],
        candidates=list(candidates) or [candidate(name, [criterion()], [flag("clear")]) for name in NAMES],
        chosen=chosen,
        reason=reason,
        shown=chosen,
        best_by_loss=None,
        versions={},
    )


def facts_of(folder: RunFolder, name: str = "best_model", base: str = "") -> CardFacts:
    record, metadata = folder.record(), recorded_training(folder.checkpoint(3))
    assert record
    assert metadata
    record.base_model = base or record.base_model
    record.stance_title, record.stance_description, record.pairs_by_category = "Calm", "It keeps calm.", {"tone": 25}
    return CardFacts(name, record, metadata, "ef" * 32, None)


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


# --- what training leaves ----------------------------------------------------------------------------------


def test_training_leaves_a_card_in_best_and_final_and_none_in_a_checkpoint(finished: RunFolder) -> None:
    found = sorted(path.relative_to(finished.root) for path in finished.root.rglob("README.md"))
    assert found == [Path("best_model/README.md"), Path("final_model/README.md")]
    assert "the lowest training loss" in card(finished.best)
    assert "epoch 3 was the last one trained" in card(finished.final)
    record, metadata = finished.record(), recorded_training(finished.final)
    assert record
    assert metadata
    text = card(finished.final)
    for told in (
        NOT_YET,
        f"| loss | {metadata.loss:.4f} |",
        "They say nothing about other questions.",
        record.corpus_digest,
        record.base_weights_digest,
        find_model(str(finished.final)).digest(),
        "| learning rate | 0.001 |",
        "| beta | 0.1 |",
        "| steps | 9 of 9 |",
        "| uncategorised | 9 |",
        "9 pairs set a tone.",
        f"| torch | {record.versions['torch']} |",
    ):
        assert told in text


def test_a_card_changes_no_model_folder(finished: RunFolder) -> None:
    for place in (finished.best, finished.final):
        assert verify_manifest(place) is None
        assert find_model(str(place)).folder == place


def test_nothing_of_this_machine_is_in_a_card(
    finished: RunFolder, made: TrainSettings, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "host-of-mine")
    monkeypatch.setattr(platform, "node", lambda: "host-of-mine")
    write_cards(folder, selection(NAMES[0]))
    for text in (card(finished.best), card(folder.best), card(folder.checkpoint(2))):
        for told in (str(made.output_dir.parent), str(folder.root), str(Path.home()), "/srv", "host-of-mine"):
            assert told not in text
        assert "# Epistemic pragmatism: model, epoch" in text, "the folder's own name, without where it lies"


def test_the_lines_that_load_it_run_as_they_stand(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = card(finished.best)
    lines = text.split("```python\n")[1].split("\n```")[0]
    assert lines.count("max_new_tokens=256") == 1
    monkeypatch.chdir(finished.best)
    exec(compile(lines.replace("256", "3"), "card", "exec"), {})
    assert capsys.readouterr().out


def test_stopped_selected_resumed_and_overwritten(
    made: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(made, output_dir=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(
            command, "run", lambda given, report: run_training(given, to_all([report, at_step(7, terminate)]))
        )
        with pytest.raises(StoppedError):
            train(settings, quiet())
    place = RunFolder(settings.output_dir)
    write_cards(place, selection(NAMES[0]))
    chosen = card(place.checkpoint(2))
    assert "rule of this run chose. because" in card(place.best)
    trained(replace(settings, resume=True))
    for folder in (place.best, place.final):
        assert NOT_YET in card(folder), "what was judged before is no judgement of what is here now"
    assert card(place.checkpoint(2)) == chosen
    assert all(verify_manifest(folder) is None for folder in (place.best, place.final, place.checkpoint(2)))
    trained(replace(settings, overwrite=True, epochs=1))
    assert "epoch 1 was the last one trained" in card(place.final)
    assert sorted(path.parent.name for path in place.root.rglob("README.md")) == ["best_model", "final_model"]


# --- what the choice adds ----------------------------------------------------------------------------------


def test_a_card_is_replaced_by_rename_so_that_a_linked_one_stays(folder: RunFolder) -> None:
    write_cards(folder, selection(NAMES[0]))
    of_checkpoint = card(folder.checkpoint(2))
    link_folder(folder.checkpoint(2), folder.best)
    assert (folder.best / "README.md").stat().st_ino == (folder.checkpoint(2) / "README.md").stat().st_ino
    write_cards(folder)
    assert card(folder.checkpoint(2)) == of_checkpoint
    assert "It is called best_model" in card(folder.best)
    for place in (folder.best, folder.final, folder.checkpoint(2)):
        assert verify_manifest(place) is None
        assert find_model(str(place)).folder == place


def test_verdicts_stand_in_the_cards_of_what_was_judged(folder: RunFolder) -> None:
    judged = candidate(NAMES[0], [criterion("inconclusive")], [flag("inconclusive")])
    failed = candidate(NAMES[1], [criterion("not met")], [flag("raised")])
    written = write_cards(folder, selection(NAMES[0], judged, failed))
    assert written == [place / "README.md" for place in (folder.best, folder.final, folder.checkpoint(2))]
    chosen, final = card(folder.checkpoint(2)), card(folder.final)
    assert NOT_YET not in chosen + final
    row = r"| Says it once | 12.5 | 20 \[15, 25\] | \>= 30 | ? inconclusive (needs 932) | 4 -\> 25 |"
    assert row in chosen
    assert r"| Factual accuracy | 50 | -10.0 \[-15.0, -6.0\] | -4 | ? inconclusive |" in chosen
    assert "+21.6 points, band over all checkpoints [+17.6, +25.5]" in chosen
    assert "It holds the checkpoint that the rule of this run chose. because of it." in chosen
    assert card(folder.best).count("It holds the checkpoint that the rule of this run chose.") == 1
    assert "| \\>= 30 | \u2717 not met |" in final
    assert "| -4 | \u2691 raised |" in final
    assert "It is **not** the checkpoint that the rule of this run chose." in final


def test_another_choice_takes_the_name_from_the_former_one(folder: RunFolder) -> None:
    write_cards(folder, selection(NAMES[0]))
    write_cards(folder, selection(NAMES[1]))
    assert "**not** the checkpoint" in card(folder.checkpoint(2))
    assert "It holds the checkpoint" in card(folder.checkpoint(3))
    write_cards(folder, selection(None, reason="none qualifies: red flag"))
    for place in (folder.checkpoint(2), folder.checkpoint(3), folder.best, folder.final):
        assert "chose no checkpoint: none qualifies: red flag." in card(place)


def test_what_was_not_judged_has_no_verdict(folder: RunFolder) -> None:
    write_cards(folder, selection(NAMES[0], candidate(NAMES[0], [criterion()], [flag()])))
    assert "Epoch 3 was not validated; of this run were checkpoint-002." in card(folder.final)
    write_cards(folder, selection(None, candidate(NAMES[1], [], [])))
    assert "checkpoint-003 could not be judged" in card(folder.final)


def test_a_card_that_somebody_made_their_own_is_left_alone(folder: RunFolder) -> None:
    write_cards(folder)
    (folder.best / "README.md").write_text(card(folder.best).replace(MARK, "") + "My words.\n")
    assert write_cards(folder, selection(None)) == [folder.final / "README.md"]
    assert card(folder.best).endswith("My words.\n")


@pytest.mark.parametrize("name", ["metadata.json", "MANIFEST.json"])
@pytest.mark.parametrize("content", [None, "{}", "[]", "no JSON"])
def test_a_folder_whose_records_cannot_be_read_gets_no_card(folder: RunFolder, name: str, content: str | None) -> None:
    (folder.best / name).unlink()
    if content is not None:
        (folder.best / name).write_text(content)
    assert write_cards(folder) == [folder.final / "README.md"]
    folder.record_path.write_text(content or "")
    assert write_cards(folder) == []


def test_select_writes_the_cards(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    record = selection(NAMES[1])
    record.candidates = [candidate(name, [criterion()], [flag("clear")]) for name in NAMES]
    for one in record.candidates:
        one.report_gain = None
    record.rule = RuleRecord(timestamp="", rule="", digest="ab" * 32, **dict.fromkeys(DIGESTS, ""))
    monkeypatch.setattr(select, "run", lambda *_: record)
    with pytest.raises(NotMetError):
        select_checkpoint(SelectSettings(folder.root), Console(file=io.StringIO(), width=100))
    assert not (folder.root / VALIDATION).exists()
    for place in (folder.best, folder.final, folder.checkpoint(3)):
        assert "| Says it once |" in card(place)
    assert not (folder.checkpoint(2) / "README.md").exists()


DIGESTS = ("criteria_digest", "red_flags_digest", "split_digest", "stance_digest")


# --- the text ----------------------------------------------------------------------------------------------


def test_front_matter_of_the_default_base(finished: RunFolder) -> None:
    assert ModelCard(card_text(facts_of(finished, base=DEFAULT_MODEL))).data.to_dict() == {
        "base_model": DEFAULT_MODEL,
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "language": ["en"],
        "tags": ["dpo", "epistemic-stance"],
    }


@pytest.mark.parametrize("base", ["someone/other-model", "gpt2", "123"])
def test_a_license_that_is_not_known_is_not_claimed(finished: RunFolder, base: str) -> None:
    data = ModelCard(card_text(facts_of(finished, base=base))).data.to_dict()
    assert data["base_model"] == base
    assert "license" not in data


@pytest.mark.parametrize("base", ["/srv/me/model", "../model", "~/model", "run/checkpoint-50", "a/b/c", "a b", "."])
def test_a_folder_is_no_model_of_the_hub(finished: RunFolder, base: str) -> None:
    text = card_text(facts_of(finished, base=base))
    assert "base_model" not in ModelCard(text).data.to_dict()
    assert "/srv" not in text


def test_a_folder_that_is_called_like_a_model_of_the_hub(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert "base_model" not in ModelCard(card_text(facts_of(finished, base="models/mine"))).data.to_dict()


def test_the_demo_says_that_it_is_one(finished: RunFolder) -> None:
    text = card_text(facts_of(finished, base="demo"))
    assert DEMO_NOTICE[1:] in text
    assert "base_model" not in ModelCard(text).data.to_dict()
    assert DEMO_NOTICE[1:] not in card_text(facts_of(finished))


def test_a_card_needs_neither_stance_nor_corpus(folder: RunFolder) -> None:
    record = json.loads(folder.record_path.read_text())
    record["settings"] |= {"stance": "gone", "corpus": "gone.jsonl"}
    folder.record_path.write_text(json.dumps(record))
    write_cards(folder)
    assert "# Epistemic pragmatism: " in card(folder.best)
    assert "| uncategorised | 9 |" in card(folder.best)


def hostile_card(finished: RunFolder, text: str) -> str:
    facts = facts_of(finished, name=text or "x", base=text or "x")
    judged = candidate(NAMES[1], [criterion(title=text)], [flag()])
    facts.metadata.system_prompt = text
    facts.run.versions = {text: text}
    facts.run.corpus_digest = text
    facts.metadata.settings["loss"] = text
    facts.run.stance_title, facts.run.stance_description, facts.run.pairs_by_category = text, text, {text: 25}
    return card_text(replace(facts, selection=selection(None, judged, reason=text)))


def kinds(text: str) -> list[str]:
    """Block and inline tokens of the body, as a renderer of GitHub's tables sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(ModelCard(text).text)
    return [child.type for token in tokens for child in (token, *(token.children or ()))]


@given(st.text(max_size=60) | st.just(HOSTILE))
def test_what_people_wrote_stays_text(finished: RunFolder, text: str) -> None:
    plain, hostile = hostile_card(finished, "word word"), hostile_card(finished, text)
    blocks = [
        [kind for kind in kinds(one) if kind.endswith(("_open", "fence", "html_block"))] for one in (plain, hostile)
    ]
    assert blocks[0] == blocks[1], "no block, link or emphasis more"
    assert not {"html_inline", "link_open", "image"} & set(kinds(hostile))
    assert ModelCard(hostile).data.to_dict().keys() - {"base_model"} == {
        "library_name",
        "pipeline_tag",
        "language",
        "tags",
    }
    compile(hostile.split("```python\n")[1].split("\n```")[0], "card", "exec")


def test_the_system_prompt_it_was_trained_with_is_in_the_lines_that_ask_it(finished: RunFolder) -> None:
    facts = facts_of(finished)
    for prompt in ("Be brief.\n```\n", "", "\U0001f600"):
        facts.metadata.system_prompt = prompt
        text = card_text(facts)
        asked = text.split("messages = ")[1].split("\ninputs")[0]
        assert eval(asked)[0] == {"role": "system", "content": prompt}
