"""What `stance validate --screen` costs and what it misses, against full answers of the same models.

    python benchmarks/screening.py RUN [--base MODEL] [--full-sets phase1,self_unseen] [--every 1] [--json out.json]

RUN is a run folder with many checkpoints. It is screened anew by the command itself; then base and checkpoints (every
second with --every 2) answer the whole sets, as the stance asks them, into RUN/validation, which resumes. From there on
everything is counted from the full answers: seeds make what a screen asks a part of them.

The truth is the rate over all answers to `report` questions. Against it stand screens of several designs on `select`
questions: Spearman's rank correlation over the checkpoints, whether the three finalists hold the checkpoint with the
highest true rate of pragmatic only, the shortfall of the best finalist in points, and the verdicts that differ from
those of the full `report` answers. One division into halves is one draw, so the first three are repeated over random
halves of each set and random iterations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from epistemic_stance.collection.run import run as collect
from epistemic_stance.evaluation.screening import FINALISTS, finalists, screened_measures
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import CollectSettings, ProbeSettings
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.probing.targets import TargetModel, find_target
from epistemic_stance.records.comparison import Verdict
from epistemic_stance.records.response_file import Response, read_responses
from epistemic_stance.scoring.measures import PERFORMATIVE, PRAGMATIC_ONLY, Measure
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.stance.splits import splits_of
from epistemic_stance.statistics.changes import paired_changes
from epistemic_stance.statistics.estimates import mean_estimate

SEED = 42
HALVES = 400
DESIGNS: dict[str, dict[str, tuple[str, int]]] = {
    "phase1 .7 x 4": {"phase1": ("0.7", 4)},
    "self_unseen .7 x 1": {"self_unseen": ("0.7", 1)},
    "phase1 .7 x 1, self_unseen .7 x 1": {"phase1": ("0.7", 1), "self_unseen": ("0.7", 1)},
    "phase1 .7 x 4, self_unseen .7 x 1": {"phase1": ("0.7", 4), "self_unseen": ("0.7", 1)},
    "phase1 four temperatures x 1, self_unseen .7 x 1": {
        "phase1": ("0.3 0.7 1.0 1.3", 1),
        "self_unseen": ("0.7", 1),
    },
    "self_unseen .7 x 2": {"self_unseen": ("0.7", 2)},
    "all answers to select questions": {"phase1": ("0.3 0.7 1.0 1.3", 5), "self_unseen": ("0.7", 3)},
}
"""Question set -> temperatures and iterations, always of the screened half."""

Bools = NDArray[np.bool_]


@dataclass
class Scored:
    """Full answers to one set: models A (the base first), questions Q, columns of a plan I, measures M."""

    shown_AQIM: NDArray[np.int8]
    temperature_I: list[str]
    iteration_I: list[int]
    select_Q: Bools


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--base", help="base model, where it is no longer under its old name")
    parser.add_argument("--full-sets", default="phase1,self_unseen")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sets = asked.full_sets.split(",")
    target = find_target(ProbeSettings(str(asked.run), base=asked.base))
    assert target.base
    models = [target.base, *target.others[asked.every - 1 :: asked.every]]
    found: dict[str, Any] = {"models": [model.name for model in models], "threads": asked.threads}
    found["screen"] = screened(asked.run, models, asked.base, asked.threads)
    found["full"] = full_answers(asked.run, models, sets, asked.threads)
    scorer = Scorer(*load_stance_and_pairs(target.stance))
    measures = screened_measures(scorer)
    started = time.perf_counter()
    scores = {name: read_set(asked.run, models, name, scorer, measures) for name in sets}
    found["full"]["seconds_scoring"] = round(time.perf_counter() - started, 1)
    found["same_texts"] = same_texts(asked.run, models, sets)
    columns = {name: [one.name for one in measures].index(name) for name in (PRAGMATIC_ONLY, PERFORMATIVE)}
    truth = {name: rates(scores, dict.fromkeys(sets), False)[1][:, column] for name, column in columns.items()}
    found["true_rates"] = {name: np.round(100 * rate_A, 1).tolist() for name, rate_A in truth.items()}
    found["shipped_halves"] = {name: as_shipped(scores, plan, columns, measures) for name, plan in usable(sets).items()}
    found["random_halves"] = random_halves(scores, usable(sets), columns)
    found["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found) + "\n", encoding="utf-8")


def usable(sets: Sequence[str]) -> dict[str, dict[str, tuple[str, int]]]:
    return {name: plan for name, plan in DESIGNS.items() if set(plan) <= set(sets)}


# --- asking ------------------------------------------------------------------------------------------------


def screened(run: Path, models: Sequence[TargetModel], base: str | None, threads: int) -> dict[str, Any]:
    """Screen anew, as a user would; seconds of the process and of its parts."""
    epochs = ",".join(model.name.removeprefix("checkpoint-") for model in models[1:])
    command = [sys.executable, "-m", "epistemic_stance.cli", "validate", str(run), "--screen"]
    command += ["--overwrite", f"--threads={threads}"]
    command += [f"--base={base}"] if base else []
    started = time.perf_counter()
    subprocess.run([*command, f"--checkpoints={epochs}"], stdout=sys.stderr, check=True)
    seconds = time.perf_counter() - started
    record = json.loads((run / "screening.json").read_bytes())
    return {
        "seconds": round(seconds, 1),
        "seconds_probing": round(sum(model["probe_seconds"] for model in record["models"]), 1),
        "seconds_asking": round(sum(model["seconds"]["ask"] - model["probe_seconds"] for model in record["models"]), 1),
        "seconds_scoring": round(sum(model["seconds"]["score"] for model in record["models"]), 1),
        "answers_of_a_model": record["models"][0]["answers"],
        "best": record["best"],
        "promising": record["promising"],
    }


def full_answers(run: Path, models: Sequence[TargetModel], sets: Sequence[str], threads: int) -> dict[str, Any]:
    """Ask what is missing; the seconds of each file stand beside it, for a second call asks nothing."""
    seconds, answers = {}, 0
    for model in models:
        for name in sets:
            folder = run / "validation" / model.name / name
            times = folder / "benchmark_seconds"
            started = time.perf_counter()
            settings = CollectSettings(model.files.name, questions=name, output_dir=folder, threads=threads)
            collected = collect(settings, silent)
            if not times.exists():
                times.write_text(f"{time.perf_counter() - started:.2f}\n")
            seconds[f"{model.name}/{name}"] = float(times.read_text())
            answers += collected.plan.responses
        print(f"{model.name}: {seconds[f'{model.name}/{sets[-1]}']:.0f} s for {sets[-1]}", file=sys.stderr)
    return {"seconds_asking": round(sum(seconds.values()), 1), "answers_of_a_model": answers // len(models)}


# --- counting ----------------------------------------------------------------------------------------------


def key_of(response: Response) -> tuple[str, str, int]:
    assert response.temperature is not None
    assert response.iteration is not None
    return question_key(response.question), str(response.temperature), response.iteration


def read_set(
    run: Path, models: Sequence[TargetModel], name: str, scorer: Scorer, measures: Sequence[Measure]
) -> Scored:
    halves = splits_of(scorer.stance.question_sets[name].questions)
    questions = {key: number for number, key in enumerate(halves)}
    files = [read_responses(run / "validation" / model.name / name) for model in models]
    columns = sorted({key_of(response)[1:] for response in files[0].responses})
    shown = np.full((len(models), len(questions), len(columns), len(measures)), 2, dtype=np.int8)
    for number, file in enumerate(files):
        for response in file.responses:
            key, temperature, iteration = key_of(response)
            score = scorer.score(response)
            told = [measure.shown(score) for measure in measures]
            place = number, questions[key], columns.index((temperature, iteration))
            shown[place] = [2 if one is None else one for one in told]
    assert not (shown == 2).any(), "every question has all its answers, and every measure can be told of each"
    select = np.array([half == "select" for half in halves.values()])
    return Scored(shown, [one[0] for one in columns], [one[1] for one in columns], select)


def same_texts(run: Path, models: Sequence[TargetModel], sets: Sequence[str]) -> str:
    """Screened answers that stand word for word in the full ones; batches of other sizes differ in the last bits."""
    same = total = 0
    for model in models:
        for name in sets:
            full = {
                key_of(one): one.response for one in read_responses(run / "validation" / model.name / name).responses
            }
            for one in read_responses(run / "screen" / model.name / name).responses:
                same += full[key_of(one)] == one.response
                total += 1
    return f"{same} of {total}"


def hits(
    scores: dict[str, Scored], plan: dict[str, tuple[str, int] | None], halves: dict[str, Bools]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(A, Q, M) answers that show each measure and (Q,) answers, over the questions of all sets that are in a half."""
    shown, answers = [], []
    for name, asked in plan.items():
        one = scores[name]
        used = [
            asked is None or (temperature in asked[0].split() and iteration <= asked[1])
            for temperature, iteration in zip(one.temperature_I, one.iteration_I, strict=True)
        ]
        shown.append(one.shown_AQIM[:, halves[name]][:, :, used].sum(axis=2, dtype=np.int64))
        answers.append(np.full(int(halves[name].sum()), sum(used), dtype=np.int64))
    return np.concatenate(shown, axis=1), np.concatenate(answers)


def rates(
    scores: dict[str, Scored], plan: dict[str, Any], select: bool
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]:
    """Counts, and the rates (A, M), of the stance's own halves."""
    counts = hits(scores, plan, {name: scores[name].select_Q == select for name in plan})
    return counts, counts[0].sum(axis=1) / counts[1].sum()


def named(hits_AQ: NDArray[np.int64], answers_Q: NDArray[np.int64]) -> list[int]:
    """Arms that a screen names."""
    rate_A = hits_AQ.sum(axis=1) / answers_Q.sum()
    best = 1 + int(rate_A[1:].argmax())
    se = mean_estimate((hits_AQ[best] / answers_Q).tolist(), weights=answers_Q.tolist()).se or 0.0
    return [1 + number for number in sorted(finalists(rate_A[1:].tolist(), se))]


def earliest(hits_AQ: NDArray[np.int64], answers_Q: NDArray[np.int64]) -> list[int]:
    """Another rule one may think of: the earliest within one standard error of the highest."""
    rate_A = hits_AQ.sum(axis=1) / answers_Q.sum()
    best = 1 + int(rate_A[1:].argmax())
    se = mean_estimate((hits_AQ[best] / answers_Q).tolist(), weights=answers_Q.tolist()).se or 0.0
    return [model for model in range(1, len(rate_A)) if rate_A[model] >= rate_A[best] - se][:FINALISTS]


def highest(hits_AQ: NDArray[np.int64], _: NDArray[np.int64]) -> list[int]:
    """And a third: simply the highest."""
    return [1 + int(model) for model in np.argsort(-hits_AQ[1:].sum(axis=1), kind="stable")[:FINALISTS]]


RULES = (named, earliest, highest)


def verdicts(
    hits_AQM: NDArray[np.int64], answers_Q: NDArray[np.int64], measures: Sequence[Measure]
) -> list[list[Verdict]]:
    answers_QM = np.repeat(answers_Q[:, None], len(measures), axis=1)
    found = []
    for after_QM in hits_AQM[1:]:
        changes = paired_changes(hits_AQM[0], answers_QM, after_QM, answers_QM, SEED)
        found.append([change.verdict if change else "inconclusive" for change in changes])
    return found


def as_shipped(
    scores: dict[str, Scored], plan: dict[str, Any], columns: dict[str, int], measures: Sequence[Measure]
) -> dict[str, Any]:
    """One design on the stance's own halves."""
    (hits_AQM, answers_Q), rate_AM = rates(scores, plan, True)
    (full_AQM, full_answers_Q), true_AM = rates(scores, dict.fromkeys(scores), False)
    main = columns[PRAGMATIC_ONLY]
    found: dict[str, Any] = {"answers": int(answers_Q.sum())}
    screen, full = verdicts(hits_AQM, answers_Q, measures), verdicts(full_AQM, full_answers_Q, measures)
    for name, column in columns.items():
        found[f"spearman {name}"] = round(float(spearmanr(rate_AM[1:, column], true_AM[1:, column]).statistic), 3)
        pairs = [(one[column], other[column]) for one, other in zip(screen, full, strict=True)]
        found[f"verdicts {name}"] = {
            f"{one} / {other}": pairs.count((one, other)) for one, other in sorted(set(pairs), key=pairs.count)
        }
    for rule in RULES:
        chosen = rule(hits_AQM[:, :, main], answers_Q)
        true_A = true_AM[:, main]
        found[rule.__name__] = {
            "models": chosen,
            "holds_the_best": 1 + int(true_A[1:].argmax()) in chosen,
            "shortfall": round(100 * float(true_A[1:].max() - true_A[chosen].max()), 1),
        }
    return found


def iterations_drawn(one: Scored, generator: np.random.Generator) -> Scored:
    """The same answers, the iterations of each temperature numbered at random."""
    numbers = list(one.iteration_I)
    for temperature in set(one.temperature_I):
        places = [place for place, known in enumerate(one.temperature_I) if known == temperature]
        for place, number in zip(places, generator.permutation([numbers[place] for place in places]), strict=True):
            numbers[place] = int(number)
    return replace(one, iteration_I=numbers)


def random_halves(
    scores: dict[str, Scored], plans: dict[str, dict[str, tuple[str, int]]], columns: dict[str, int]
) -> dict[str, Any]:
    """Means over random halves of each set, of the sizes that the stance's own halves have, and random iterations.

    Which of the five answers at one temperature count is drawn too: with one draw, a lucky iteration passes for a
    better design.
    """
    generator = np.random.default_rng(SEED)
    main = columns[PRAGMATIC_ONLY]
    kept: dict[str, list[list[float]]] = {name: [] for name in plans}
    for _ in range(HALVES):
        halves = {name: generator.permutation(one.select_Q) for name, one in scores.items()}
        drawn = {name: iterations_drawn(one, generator) for name, one in scores.items()}
        others = {name: ~half for name, half in halves.items()}
        full_AQM, full_Q = hits(scores, dict.fromkeys(scores), others)
        true_AM = full_AQM.sum(axis=1) / full_Q.sum()
        of_set = {name: hits(scores, {name: None}, others)[0][:, :, main].sum(axis=1) for name in scores}
        for name, plan in plans.items():
            hits_AQM, answers_Q = hits(drawn, dict(plan), halves)
            rate_AM = hits_AQM.sum(axis=1) / answers_Q.sum()
            row = [float(spearmanr(rate_AM[1:, column], true_AM[1:, column]).statistic) for column in columns.values()]
            row += [float(spearmanr(rate_AM[1:, main], of_set[other][1:]).statistic) for other in scores]
            true_A = true_AM[:, main]
            for rule in RULES:
                chosen = rule(hits_AQM[:, :, main], answers_Q)
                row += [
                    float(1 + int(true_A[1:].argmax()) in chosen),
                    100 * float(true_A[1:].max() - true_A[chosen].max()),
                ]
            kept[name].append(row)
    names = [f"spearman {name}" for name in columns]
    names += [f"spearman {PRAGMATIC_ONLY} of {name} alone" for name in scores]
    names += [
        f"{rule}: {what}" for rule in ("named", "earliest", "highest") for what in ("holds_the_best", "shortfall")
    ]
    found = {}
    for name, rows in kept.items():
        means, worst = np.mean(rows, axis=0), np.quantile(rows, 0.95, axis=0)
        found[name] = {what: round(float(mean), 3) for what, mean in zip(names, means, strict=True)}
        for what, tail in zip(names, worst, strict=True):
            if what.endswith("shortfall"):
                found[name][f"{what}, 95th percentile"] = round(float(tail), 1)
    return found


if __name__ == "__main__":
    main()
