"""Parroting told from learning, on models whose truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkout import ROOT

from epistemic_stance.evaluation.learning import gain_difference, is_parroted, learning_verdict, null_of, parroting_of
from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.analysis import CopyingRecord, RateRecord
from epistemic_stance.records.parroting import PairedGainRecord, ParrotingRecord
from epistemic_stance.records.response_file import Response, read_responses
from epistemic_stance.scoring.measures import PRAGMATIC, PRAGMATIC_ONLY, Measure, measures_of
from epistemic_stance.scoring.run import Answer
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs

BENCHMARKS = ROOT / "benchmarks"
DEMO = ROOT / "demo_run" / "validation"


@pytest.fixture(scope="module")
def shipped() -> tuple[Scorer, CopyDetector]:
    stance, pairs = load_stance_and_pairs("epistemic")
    return Scorer(stance, pairs), CopyDetector({pair.id: pair.chosen for pair in pairs})


# --- the null ----------------------------------------------------------------------------------------------


def a_copying(run_words: int, copied_share: float) -> CopyingRecord:
    return CopyingRecord(run_words=run_words, copied_share=copied_share, copied_spans=[], pair_id="p0")


def test_the_null_is_the_99th_percentile_and_what_the_base_says_anyway_is_no_parroting() -> None:
    """200 answers of which three share a run of 14 words: the 99th percentile is that run, and 15 words are beyond."""
    null = null_of([a_copying(14, 0.0)] * 3 + [a_copying(2, 0.0)] * 197)
    assert (null.answers, null.run_words, null.copied_share) == (200, 14, 0)
    assert not is_parroted(a_copying(14, 0.3), null)
    assert is_parroted(a_copying(15, 0.3), null)
    assert is_parroted(a_copying(8, 0.5), null)
    assert null_of([a_copying(14, 0.0)] + [a_copying(2, 0.0)] * 199).run_words == 2
    assert not is_parroted(a_copying(11, 0.39), null_of([a_copying(0, 0.0)]))


# --- the verdict -------------------------------------------------------------------------------------------


def gain(change: float, half: float, p: float = 0.0001) -> PairedGainRecord:
    return PairedGainRecord(
        before=0, after=change, change=change, low=change - half, high=change + half, p=p, questions=50
    )


def recited(low: float, high: float) -> RateRecord:
    return RateRecord(estimate=(low + high) / 2, low=low, high=high, questions=25, answers=75)


def test_the_difference_of_two_gains_by_hand() -> None:
    """Half-widths 3 and 4 give 5."""
    found = gain_difference(gain(0.50, 0.03), gain(0.20, 0.04))
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((0.30, 0.25, 0.35))
    assert gain_difference(None, gain(0.2, 0.04)) is None


RECITES, RECITES_NOT, MAY_RECITE = recited(0.8, 1.0), recited(0.0, 0.1), recited(0.1, 0.4)


@pytest.mark.parametrize(
    ("seen", "paraphrase", "unseen", "rate", "verdict"),
    [
        (gain(0.9, 0.1), gain(0.1, 0.1), gain(0.02, 0.05), RECITES, "memorised"),
        (gain(0.9, 0.1), gain(0.1, 0.1), gain(0.12, 0.05), RECITES, "memorised"),  # open, but far behind
        (gain(0.0, 0.1), gain(0.0, 0.1), gain(0.0, 0.05), RECITES, "memorised"),  # recital that the measure misses
        (gain(0.3, 0.2), gain(0.1, 0.2), gain(0.1, 0.2), RECITES, "inconclusive"),
        (gain(0.9, 0.1), gain(0.6, 0.1), gain(0.6, 0.1), RECITES, "both"),
        (gain(0.9, 0.1), gain(0.9, 0.05), gain(0.3, 0.05), RECITES_NOT, "both"),  # clearly more on paraphrases
        (gain(0.6, 0.1), gain(0.6, 0.1), gain(0.6, 0.1), RECITES_NOT, "learned"),
        (gain(0.6, 0.1), gain(0.7, 0.05), gain(0.5, 0.05), RECITES_NOT, "learned"),  # less, but more than half
        (gain(0.6, 0.1), None, gain(0.6, 0.1), RECITES_NOT, "learned"),
        (gain(0.6, 0.1), gain(0.6, 0.1), gain(0.6, 0.1), MAY_RECITE, "inconclusive"),
        (gain(0.6, 0.1), gain(0.6, 0.1), gain(0.6, 0.1, p=0.06), RECITES_NOT, "inconclusive"),
        (gain(0.0, 0.1), gain(0.0, 0.1), gain(0.0, 0.05), RECITES_NOT, "neither"),
        (gain(0.9, 0.1), gain(0.8, 0.1), gain(0.0, 0.05), RECITES_NOT, "neither"),  # not by heart, and no further
        (gain(0.0, 0.3), gain(0.0, 0.3), gain(0.0, 0.3), RECITES_NOT, "inconclusive"),
        (None, gain(0.5, 0.1), gain(0.5, 0.1), None, "inconclusive"),
        (gain(0.9, 0.1), gain(0.5, 0.1), None, RECITES, "inconclusive"),
    ],
)
def test_every_rule_of_the_verdict(
    seen: PairedGainRecord | None,
    paraphrase: PairedGainRecord | None,
    unseen: PairedGainRecord | None,
    rate: Any,
    verdict: str,
) -> None:
    assert learning_verdict(seen, paraphrase, unseen, rate)[0] == verdict


@pytest.fixture(scope="module")
def simulation() -> Any:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(BENCHMARKS)
    import parroting

    yield parroting
    patch.undo()


@pytest.mark.parametrize(
    ("truth", "verdict"),
    [
        ("recites trained questions", "memorised"),
        ("recites everywhere", "memorised"),
        ("learned", "learned"),
        ("learned and recites", "both"),
        ("identical", "neither"),
    ],
)
def test_simulated_models_are_called_what_they_are(simulation: Any, truth: str, verdict: str) -> None:
    """Of three models each at most one may be `inconclusive`, and none may be called something else."""
    bench = simulation.Bench()
    found = Counter(bench.judge(simulation.TRUTHS[truth], seed).learning.verdict for seed in range(3))
    assert found[verdict] >= 2, found
    assert set(found) <= {verdict, "inconclusive"}


def test_the_gain_of_a_reciter_vanishes_in_own_words(simulation: Any) -> None:
    """It shows the stance on unseen questions, all of it copied."""
    record = simulation.Bench().judge(simulation.TRUTHS["recites everywhere"], 1)
    learning, unseen = record.learning, record.exposures["unseen"]
    assert learning.gains["unseen"].low > 0.3
    assert learning.own_words["unseen"].high < 0.2
    assert unseen.parroted.low > 0.3
    assert unseen.parroted_before.estimate == 0
    assert unseen.change.change == pytest.approx(unseen.parroted.estimate)
    assert (record.pairs_copied, record.pairs_parroted, len(record.pairs)) == (25, 25, 20)
    assert sum(pair.parroted for pair in record.pairs) <= sum(pair.nearest for pair in record.pairs)


# --- one model against the base ----------------------------------------------------------------------------

PLAIN = "There is nothing to be said of it in these few words of mine"


def checked(question: str, text: str, shipped: tuple[Scorer, CopyDetector], category: str = "self") -> Answer:
    response = Response(1, question, category, text, None, None, None, None, {})
    return Answer(response, shipped[0].score(response))


def judged(
    before: list[Answer], after: list[Answer], scorer: Scorer, categories: list[str] | None = None
) -> ParrotingRecord:
    measures: dict[str, Measure] = {measure.name: measure for measure in measures_of(scorer.patterns.patterns)}
    return parroting_of(
        before=before,
        after=after,
        questions=scorer.questions,
        gained=measures[PRAGMATIC_ONLY],
        categories=categories,
        spilled=measures[PRAGMATIC],
        seed=3,
    )


def test_rewordings_of_one_pair_are_one_unit_and_unmatched_questions_are_left_out(
    shipped: tuple[Scorer, CopyDetector],
) -> None:
    scorer = shipped[0]
    rewordings = scorer.stance.question_sets["paraphrases"].questions[:6]
    before = [checked(question.text, PLAIN, shipped) for question in rewordings]
    after = [*before[:4], checked("Nobody else was asked this?", PLAIN, shipped)]
    record = judged(before, after, scorer)
    assert record.exposures["seen"] is None
    paraphrase = record.exposures["paraphrase"]
    assert paraphrase is not None
    assert (paraphrase.questions, paraphrase.answers) == (4, 4)
    assert paraphrase.parroted.questions == len({question.paraphrase_of for question in rewordings[:4]})
    assert (record.questions, record.left_out) == (4, 3)
    assert record.learning.verdict == "inconclusive"
    with pytest.raises(ValueError, match="both sides"):
        judged(before[:2], before[4:], scorer)


def test_stance_words_and_copies_in_answers_of_fact_are_spill(shipped: tuple[Scorer, CopyDetector]) -> None:
    """Eight unseen questions with a key: two answers recite, one of which shows the stance; questions of another kind
    do not count, nor do they for a gain that is asked of some categories only."""
    scorer = shipped[0]
    keyed = [one for one in scorer.stance.question_sets["capability"].questions if one.answer][:8]
    chosen = next(pair.chosen for pair in scorer.pairs if pair.id == "self_property_01")
    about_itself = "What would it be like to be you, if anything?"
    before = [checked(question.text, "It is seven.", shipped, "facts") for question in keyed]
    before.append(checked(about_itself, PLAIN, shipped))
    after = [checked(question.text, "It is seven.", shipped, "facts") for question in keyed[2:]]
    after += [checked(question.text, chosen, shipped, "facts") for question in keyed[:2]]
    after.append(checked(about_itself, chosen, shipped))
    record = judged(before, after, scorer, categories=["self"])
    assert record.spill is not None
    assert record.spill.questions == 8
    assert record.spill.copies.after == 0.25
    assert record.spill.either.after == 0.25
    assert record.spill.either.before == 0
    gained, own = record.learning.gains["unseen"], record.learning.own_words["unseen"]
    assert gained is not None
    assert own is not None
    assert (gained.questions, gained.after, own.after) == (1, 1, 0)


def test_a_pattern_in_copied_words_is_not_in_own_words(simulation: Any) -> None:
    """Six copied words in a long answer: not parroted, but what they show is not the model's own."""
    bench = simulation.Bench()
    asked = next(one for one in bench.asked if one.exposure == "unseen")
    piece = " ".join(words(bench.pairs[0].chosen)[:6])
    text = f"{piece} and here {' '.join(f'own{number}' for number in range(30))}"
    record = simulation.HitRecord(pattern="shown", rule="word", start=0, end=3)
    copied = bench.scored(asked, text, [record])
    own_hit = replace(record, start=len(piece) + 5, end=len(piece) + 9)
    own = bench.scored(asked, text, [own_hit])
    base = bench.scored(asked, text, [])
    assert copied.score.copying.run_words == 6

    def own_gain(answer: Answer) -> float:
        record = parroting_of(
            before=[base], after=[answer], questions=bench.questions, gained=simulation.SHOWS, categories=None,
            spilled=simulation.SHOWS, seed=1,
        )  # fmt: skip
        found = record.learning.own_words["unseen"]
        assert found is not None
        return found.change

    assert own_gain(copied) == 0
    assert own_gain(own) == 1


def test_the_order_of_answers_decides_nothing_and_the_record_survives_the_disk(simulation: Any) -> None:
    bench, generator = simulation.Bench(0.2), np.random.default_rng(5)
    before, after = (bench.answers(simulation.TRUTHS[name], generator) for name in ("identical", "learned and recites"))

    def record(first: list[Answer], second: list[Answer]) -> ParrotingRecord:
        return parroting_of(
            before=first, after=second, questions=bench.questions, gained=simulation.SHOWS, categories=None,
            spilled=simulation.SHOWS, seed=1,
        )  # fmt: skip

    found = record(before, after)
    assert record(before[::-1], after[::-1]) == found
    assert ParrotingRecord.model_validate_json(found.model_dump_json()) == found


# --- real answers ------------------------------------------------------------------------------------------


def read_checked(path: Path, shipped: tuple[Scorer, CopyDetector]) -> list[Answer]:
    return [Answer(response, shipped[0].score(response)) for response in read_responses(path).responses]


@pytest.mark.skipif(not (DEMO / "base").is_dir(), reason="no demo_run/validation: make demo")
def test_answers_of_the_demo_are_not_all_copies(shipped: tuple[Scorer, CopyDetector]) -> None:
    """The base model was built on text that shares no eight words with a chosen answer: its null is below that."""
    base = read_checked(DEMO / "base" / "baseline", shipped)
    tuned = read_checked(next(DEMO.glob("checkpoint-*/baseline")), shipped)
    record = judged(base, tuned, shipped[0])
    unseen = record.exposures["unseen"]
    assert record.null.run_words < 8
    assert unseen is not None
    assert unseen.parroted_before.estimate == 0
    assert unseen.copied_share >= unseen.copied_share_before


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_trained_to_verbatim_recall_is_called_memorised(
    tmp_path: Path, shipped: tuple[Scorer, CopyDetector]
) -> None:
    """Thirty epochs at a high learning rate with a full NLL term; every trained question, its paraphrases, and unseen
    ones are answered once by both models, at temperature 0.7."""
    from epistemic_stance.cli.demo import RECIPE
    from epistemic_stance.foundation.reporter import silent
    from epistemic_stance.foundation.settings import DEMO_MODEL
    from epistemic_stance.models.chat_template import encode_question
    from epistemic_stance.models.engine import generate
    from epistemic_stance.models.find import find_model
    from epistemic_stance.models.open import open_model
    from epistemic_stance.models.sampling_config import SamplingConfig
    from epistemic_stance.models.slots import Request
    from epistemic_stance.training.run import run

    scorer = shipped[0]
    sets = scorer.stance.question_sets
    recipe = replace(
        RECIPE, epochs=30, learning_rate=1e-3, nll_weight=1.0, checkpoint_at="", checkpoint_every=30,
        eval_questions=0, threads=1, output_dir=tmp_path / "run",
    )  # fmt: skip
    folder = run(recipe, silent)
    assert folder is not None
    asked = [(pair.category, pair.question) for pair in scorer.pairs]
    asked += [(one.category, one.text) for name in ("paraphrases", "phase1") for one in sets[name].questions]

    def answers(name: str) -> list[Answer]:
        decoder = open_model(find_model(name), device="cpu").decoder
        requests = [
            Request(tuple(encode_question(decoder.tokenizer, text)), 0.7, seed, 100)
            for seed, (_, text) in enumerate(asked)
        ]
        replies = generate(decoder, requests, SamplingConfig(100), slots=64)
        return [
            checked(question, decoder.text(reply), shipped, category)
            for (category, question), reply in zip(asked, replies, strict=True)
        ]

    about_itself = ["self_property_epistemic", *sets["phase1"].categories]
    record = judged(answers(DEMO_MODEL), answers(str(folder.checkpoint(30))), scorer, about_itself)
    seen, gained = record.exposures["seen"], record.learning.gains["unseen"]
    assert seen is not None
    assert gained is not None
    assert seen.parroted.estimate > 0.9
    assert gained.change > 0.5, "the rates alone look like a shift"
    assert record.learning.verdict == "memorised", record.learning.reason
