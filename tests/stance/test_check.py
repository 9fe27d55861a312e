"""The lint: every check with a case it must find and one next to it that it must leave alone."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_pairs, tiny_tokenizer

from epistemic_stance.cli import check as check_command
from epistemic_stance.cli.check import run_check
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import CheckSettings
from epistemic_stance.models import find, load
from epistemic_stance.models.chat_template import encode_pair, stop_token_ids
from epistemic_stance.records.written import Question, QuestionSet
from epistemic_stance.stance.check_pairs import check_pairs, check_tokens
from epistemic_stance.stance.findings import Finding
from epistemic_stance.stance.load import load_pairs, load_stance_and_pairs
from epistemic_stance.stance.pairs import EncodedPair, Pair
from epistemic_stance.training import reference

TOPICS = ["harbour", "violin", "glacier", "pepper", "lantern", "orchard", "compass", "saddle", "thimble", "meadow"]


def pair(number: int, **changes: Any) -> Pair:
    """A pair that shares next to nothing with those of other numbers."""
    topic = f"{TOPICS[number % 10]}{number}"
    fields: dict[str, Any] = {
        "id": f"p{number}",
        "category": "c",
        "prompt": [{"role": "user", "content": f"{topic} one{number} two{number}?"}],
        "chosen": " ".join(f"good{number}w{index}" for index in range(8)),
        "rejected": " ".join(f"bad{number}w{index}" for index in range(8)),
        "where": f"f.json:{number}",
    }
    return Pair(**{**fields, **changes})


def asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def question_set(name: str, *texts: str) -> QuestionSet:
    questions = [Question(id=f"{name}{n}", category="c", text=text) for n, text in enumerate(texts)]
    return QuestionSet(name=name, categories={"c": "anything"}, questions=questions)


def found(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.problem.where, finding.problem.field) for finding in findings]


def check(*pairs: Pair, **question_sets: QuestionSet) -> list[tuple[str, str, str]]:
    return found(check_pairs(pairs, question_sets))


# --- pairs -------------------------------------------------------------------------------------------------


def test_a_clean_corpus_has_no_finding() -> None:
    assert check(*map(pair, range(30))) == []


def test_no_pairs_at_all_is_an_error() -> None:
    assert [severity for severity, _, _ in check()] == ["error"]


def test_repeated_id() -> None:
    assert check(pair(1), pair(2, id="p1")) == [("error", "f.json:2", "id")]
    assert check(pair(1), pair(2, id="P1")) == []


def test_repeated_prompt() -> None:
    assert check(pair(1, prompt=asking("Who are you?")), pair(2, prompt=asking("who ARE you"))) == [
        ("warning", "f.json:2", "prompt")
    ]


def test_near_prompt_says_which_and_how_near() -> None:
    one, six_of_eight = "one two three four five six seven", "one two three four five six eight"
    [finding] = check_pairs([pair(1, prompt=asking(one)), pair(2, prompt=asking(six_of_eight))], {})
    assert (finding.severity, finding.problem.field) == ("warning", "prompt")
    assert "75% of its words shared with the prompt of p1 (f.json:1)" in finding.problem.what
    five_of_seven = "one two three four five six", "one two three four five eight"
    assert check(*(pair(n, prompt=asking(text)) for n, text in enumerate(five_of_seven))) == []


def test_the_same_last_message_after_another_conversation_is_another_prompt() -> None:
    context = [{"role": "user", "content": "a long story about bees"}, {"role": "assistant", "content": "I see, go on"}]
    assert check(pair(1, prompt=asking("why?")), pair(2, prompt=[*context, *asking("why?")])) == []


def test_equal_sides() -> None:
    assert check(pair(1, rejected=pair(1).chosen + "\n")) == [("error", "f.json:1", "chosen")]


def test_sides_that_hardly_differ() -> None:
    chosen = "the answer to the sum of two and two is four now"
    close, far = chosen.replace("four", "five"), chosen.replace("four now", "five then").replace("sum", "total")
    [finding] = check_pairs([pair(1, chosen=chosen, rejected=close)], {})
    assert (finding.severity, finding.problem.field) == ("warning", "chosen")
    assert "only 1 of 12 words away" in finding.problem.what
    assert "2402.13228" in finding.problem.what
    assert check(pair(1, chosen=chosen, rejected=far)) == []  # 3 of 12 is the bound itself


def test_sides_that_differ_in_punctuation_only_are_close_not_equal() -> None:
    assert check(pair(1, chosen="Yes, it is.", rejected="Yes: it is!")) == [("warning", "f.json:1", "chosen")]


def test_alike_answers() -> None:
    first = "alpha beta gamma delta epsilon zeta"
    assert check(pair(1, chosen=first), pair(2, chosen="red delta epsilon zeta alpha beta")) == [
        ("warning", "f.json:2", "chosen")
    ]
    assert check(pair(1, chosen=first), pair(2, chosen="red blue delta green epsilon zeta")) == []


def test_shared_opening() -> None:
    def opening(count: int) -> list[Pair]:
        return [pair(n, chosen=f"I cannot know that {pair(n).chosen}") for n in range(count)]

    assert check(*opening(2), pair(7)) == []
    [finding] = check_pairs([*opening(3), pair(7)], {})
    assert "3 answers open with" in finding.problem.what
    assert "p0, p1, p2" in finding.problem.what
    short = [pair(n, chosen="I cannot know", rejected=f"x{n} y{n} z{n}") for n in range(3)]
    assert "opening" not in str(check_pairs(short, {}))
    assert all("open with" not in finding.problem.what for finding in check_pairs(short, {}))


@pytest.mark.parametrize(("count", "warned"), [(16, False), (17, True), (4, False), (3, True)])
def test_mean_length_ratio(count: int, warned: bool) -> None:
    """Rejected answers have 8 words, so 4 and 16 are the bounds 0.5 and 2.0 themselves."""
    sized = [pair(n, chosen=" ".join(f"g{n}w{index}" for index in range(count))) for n in range(4)]
    assert check(*sized) == ([("warning", "f.json", "chosen")] if warned else [])


def test_chosen_nearly_always_longer() -> None:
    def longer(n: int) -> Pair:
        return pair(n, chosen=pair(n).chosen + " more")

    assert check(*map(longer, range(4))) == []
    assert check(*map(longer, range(5))) == [("warning", "f.json", "chosen")]
    assert check(*map(longer, range(9)), pair(9)) == []
    [finding] = check_pairs([*map(longer, range(10)), pair(10)], {})
    assert "10 of 11 pairs" in finding.problem.what


def test_raw_text_is_warned_of_once() -> None:
    assert check(pair(1), pair(2, prompt="Q: x"), pair(3, prompt="A: y")) == [("warning", "f.json:2", "prompt")]


def test_training_on_the_test() -> None:
    trained = pair(1, prompt=asking("Do you ever feel happy about your own work?"))
    asked = {"probe": question_set("probe", "How far is the moon?", "do you EVER feel happy about your own work")}
    [finding] = check_pairs([trained, pair(2)], asked, {"probe": ["q.json:5", "q.json:9"]})
    assert (finding.severity, finding.problem.where) == ("error", "f.json:1")
    assert "question probe1 of probe (q.json:9)" in finding.problem.what

    near = {"probe": question_set("probe", "Do you ever feel happy about your new work?")}
    assert check(trained, pair(2), **near) == [("warning", "f.json:1", "prompt")]
    apart = {"probe": question_set("probe", "Do you ever feel proud of your own jokes?")}
    assert check(trained, pair(2), **apart) == []


# --- tokens ------------------------------------------------------------------------------------------------

STOP, NEWLINE = 9, 8


def tokens(chosen: list[int], rejected: list[int], limit: int = 100) -> list[Finding]:
    return check_tokens([pair(1)], [EncodedPair("p1", [1, 2, 3], chosen, rejected)], {STOP, 7}, limit)


GOOD, BAD = [4, 4, 5, 6, STOP, NEWLINE], [5, 4, 5, 6, STOP, NEWLINE]


def test_whole_answers_have_no_finding() -> None:
    assert tokens(GOOD, BAD) == []
    assert tokens([*GOOD[:-2], 7], BAD) == []  # any of the stop tokens will do


def test_answers_that_the_template_empties() -> None:
    assert found(tokens([STOP, NEWLINE], BAD)) == [("error", "f.json:1", "chosen")]
    assert found(tokens(GOOD, [])) == [("error", "f.json:1", "rejected")]


def test_answers_without_an_end() -> None:
    [finding] = tokens(GOOD, BAD[:-2])
    assert (finding.severity, finding.problem.field) == ("error", "rejected")
    assert "never learn to stop" in finding.problem.what


def test_answers_of_a_few_tokens() -> None:
    assert found(tokens([4, 5, 6, STOP, NEWLINE], BAD)) == [("warning", "f.json:1", "chosen")]


def test_pairs_that_are_too_long() -> None:
    assert tokens(GOOD, BAD, limit=9) == []
    [finding] = tokens(GOOD, BAD, limit=8)
    assert (finding.severity, finding.problem.what) == (
        "error",
        "prompt and answer take 9 tokens, expected at most 8",
    )


def test_sides_that_are_equal_in_tokens_only() -> None:
    assert found(tokens(GOOD, list(GOOD))) == [("error", "f.json:1", "chosen")]


def special(**changes: Any) -> list[tuple[str, str, str]]:
    encoded = [EncodedPair("p1", [1, 2, 3], GOOD, BAD)]
    return found(check_tokens([pair(1, **changes)], encoded, {STOP}, 100, {"<end>", "<turn>"}))


@pytest.mark.parametrize("field", ["chosen", "rejected", "prompt"])
@pytest.mark.parametrize("text", ["Well.<end> More.", "<turn>user", "Well.<end>"])
def test_special_tokens_in_a_conversation(field: str, text: str) -> None:
    """An answer that holds the stop token is trained beyond the place where the model will stop."""
    value = asking(text) if field == "prompt" else text
    assert special(**{field: value}) == [("error", "f.json:1", field)]
    assert special(**{field: asking("An end.") if field == "prompt" else "An <en d>."}) == []


def test_special_tokens_in_raw_text() -> None:
    raw = "<turn>user Why?<end><turn>assistant "
    assert special(prompt=raw, chosen="So.<end>\n") == []
    assert special(prompt=raw, chosen="So.<end> Because.") == [("error", "f.json:1", "chosen")]
    assert special(prompt=raw, chosen="So.<end><end>") == [("error", "f.json:1", "chosen")]


@pytest.mark.skipif("STANCE_REFERENCE_DATA" not in os.environ, reason="STANCE_REFERENCE_DATA is not set")
def test_the_shipped_pairs_have_no_finding_in_real_tokens() -> None:
    folder = Path(os.environ["STANCE_REFERENCE_DATA"]) / "qwen2.5-0.5b-instruct"
    tokenizer = load.load_tokenizer(folder)
    pairs = load_stance_and_pairs("epistemic")[1]
    encoded = [encode_pair(tokenizer, each) for each in pairs]
    longest = max(each.longest for each in encoded)
    assert check_tokens(pairs, encoded, stop_token_ids(tokenizer), longest) == []
    assert found(check_tokens(pairs, encoded, stop_token_ids(tokenizer), longest - 1))[0][0] == "error"
    assert {severity for severity, _, _ in found(check_tokens(pairs, encoded, {-1}, longest))} == {"error"}


def test_a_prompt_that_is_asked_otherwise_than_trained_names_the_text() -> None:
    """A template that opens a thought where it asks for an answer, and has none where one is given."""
    tokenizer = tiny_tokenizer("qwen2.5")
    opens = "{{ '<|im_start|>assistant\n' }}"
    assert tokenizer.chat_template.count(opens) == 1
    pairs = tiny_pairs(3)
    alike = [encode_pair(tokenizer, pair) for pair in pairs]
    assert check_tokens(pairs, alike, {2}, 99) == []
    tokenizer.chat_template = tokenizer.chat_template.replace(opens, "{{ '<|im_start|>assistant\n<think>\n' }}")
    other = [encode_pair(tokenizer, pair) for pair in pairs]
    [finding] = check_tokens(pairs, other, {2}, 99)
    assert finding.severity == "warning"
    assert r'the prompt ends in "<think>\n", which the trained conversation lacks (3 pairs)' in str(finding.problem)


def test_columns_that_nothing_reads_are_listed_once(tmp_path: Path) -> None:
    row = {"prompt": "Q: why?\nA:", "chosen": " because it is so ", "rejected": " no one can say", "score": 3}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "prompt": "Where to?", "source": "x"}) + "\n")
    said = [str(finding.problem) for finding in check_pairs(load_pairs(path), {})]
    [unread] = [text for text in said if "nothing reads" in text]
    assert f"{path}:1: columns that nothing reads: score, source" in unread


@pytest.mark.parametrize(
    "column", ["system", "system_prompt", "history", "images", "documents", "tools", "chat_template_kwargs"]
)
def test_columns_that_would_change_the_prompt_are_refused(tmp_path: Path, column: str) -> None:
    row = {"prompt": "Q: why?\nA:", "chosen": " because", "rejected": " no"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row | {column: None}) + "\n" + json.dumps(row | {column: ["x"]}) + "\n")
    with pytest.raises(
        InputError, match=rf"pairs.jsonl:2: {column}: is not read, and would change the prompt"
    ) as refused:
        load_pairs(path)
    assert len(refused.value.problems) == 1, "the first has nothing in it"


# --- speed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [False, True])
def test_two_thousand_pairs_are_checked_in_seconds(template: bool) -> None:
    rng = random.Random(0)
    vocabulary = [f"w{index}" for index in range(3000)]
    weights = [1 / (index + 1) for index in range(3000)]  # Zipf: a few words are in almost every text

    def text(count: int) -> str:
        return " ".join(rng.choices(vocabulary, weights, k=count))

    def numbered(n: int) -> Pair:
        chosen = f"whatever the number {n} of this template is the words stay the same" if template else text(50)
        return pair(n, prompt=asking(text(12)), chosen=chosen, rejected=text(50))

    pairs = [numbered(n) for n in range(2000)]
    asked = {"probe": question_set("probe", *(text(12) for _ in range(200)))}
    start = time.process_time()
    check_pairs(pairs, asked)
    assert time.process_time() - start < 10


# --- the command -------------------------------------------------------------------------------------------


def corpus(folder: Path, *pairs: Pair) -> Path:
    path = folder / "pairs.json"
    fields = [
        {
            "id": p.id,
            "category": p.category,
            "question": p.question,
            "bad_response": p.rejected,
            "good_response": p.chosen,
        }
        for p in pairs
    ]
    path.write_text(json.dumps({"training_pairs": fields}, indent=1), encoding="utf-8")
    return path


def test_the_shipped_stance_passes(capsys: pytest.CaptureFixture[str]) -> None:
    run_check(CheckSettings())
    shown = capsys.readouterr().out
    assert "No errors, no warnings." in shown
    assert "67 in 10 categories" in shown
    assert "add --model NAME" in shown


def test_errors_come_first_and_end_in_exit_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = corpus(tmp_path, pair(1), pair(2, prompt=pair(1).prompt), pair(3, rejected=pair(3).chosen))
    with pytest.raises(InputError) as caught:
        run_check(CheckSettings(corpus=path))
    assert caught.value.exit_code == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"error: {path}:17: chosen: the same as rejected")
    assert lines[1].startswith(f"warning: {path}:10: prompt: the same words as the prompt of p1 ({path}:3)")
    assert "(hint: " in lines[0]


def test_at_most_twenty_findings_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = [pair(n, rejected=pair(n).chosen) for n in range(30)]
    with pytest.raises(InputError, match="30 errors"):
        run_check(CheckSettings(corpus=corpus(tmp_path, *same)))
    shown = capsys.readouterr().out
    assert shown.count("error: ") == 20
    assert "... and 10 more" in shown


def test_text_from_a_corpus_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = asking("[bold]red[/bold] :smile: \x1b[2J \u202e why?")
    run_check(CheckSettings(corpus=corpus(tmp_path, pair(1, prompt=evil), pair(2, prompt=evil))))
    shown = capsys.readouterr().out
    assert "[bold]red[/bold] :smile: \\x1b[2J \\u202e why?" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


class WordTokenizer:
    """One token per word, an end token after every answer; a template of the simplest kind."""

    name_or_path = "words"
    chat_template = "words"
    eos_token = "<end>"
    eos_token_id = 0
    all_special_tokens = ("<end>",)
    added_tokens_decoder: Mapping[int, Any] = {}

    def __init__(self) -> None:
        self.ids = {self.eos_token: 0}

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool, **_: Any) -> list[int]:
        spoken = []
        for message in messages:
            spoken += [f"<{message['role']}>", *message["content"].split(), "<end>"]
        spoken += ["<assistant>"] if add_generation_prompt else []
        return [self.ids.setdefault(word, len(self.ids)) for word in spoken]

    def decode(self, ids: list[int]) -> str:
        words = {number: word for word, number in self.ids.items()}
        return " ".join(words[number] for number in ids)


@pytest.mark.parametrize("config", [None, {"eos_token_id": [0, 5]}])
def test_a_model_adds_the_checks_in_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: dict[str, Any] | None
) -> None:
    if config:
        (tmp_path / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}), encoding="utf-8")
    monkeypatch.setattr(check_command, "find_model", lambda name: find.ModelFiles(name, tmp_path))
    monkeypatch.setattr(load, "load_tokenizer", lambda folder: WordTokenizer())
    monkeypatch.setattr(reference, "measure_reference", lambda *_: {"p1": (-33.0, -18.0), "p2": (-6.0, -9.0)})
    path = corpus(tmp_path, pair(1), pair(2, chosen="Too short."))
    run_check(CheckSettings(corpus=path, model="words"))
    shown = capsys.readouterr().out
    assert f"warning: {path}:10: chosen: 2 tokens, expected at least 4" in shown
    assert "tokens, chosen" in shown
    assert "mean -2.83 (-3.67 to -2.00)" in shown
    assert "below -4" not in shown
    assert "add --model" not in shown
    forged = corpus(tmp_path, pair(1, chosen="One two three four. <end> Five."))
    with pytest.raises(InputError, match="1 error,"):
        run_check(CheckSettings(corpus=forged, model="words"))
    shown = capsys.readouterr().out
    assert "chosen: holds <end>, special in this tokenizer" in shown
    assert "Not measured: how likely the answers are to the model; correct the errors first." in shown
    assert "nats a token" not in shown
    path = corpus(tmp_path, pair(1), pair(2, chosen="Too short."))
    with pytest.raises(InputError, match="2 errors"):
        run_check(CheckSettings(corpus=path, model="words", max_length=10))
    assert "prompt and answer take 15 tokens, expected at most 10" in capsys.readouterr().out
