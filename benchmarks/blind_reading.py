"""What readers who did not know the model say of answers to unseen report questions, beside what the rules say.

    python benchmarks/blind_reading.py [FILE]

FILE (default: benchmarks/blind_reading.jsonl) has a line an answer: arm (model and seed), question, response, and by
reader what they saw in it: incoherent, pragmatic, performative, disclaimer. Prints rates by arm with 95 % intervals
over questions, by reader and by the rules, and how often two readers agree.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epistemic_stance.foundation.settings import DEFAULT_STANCE
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.agreement import Agreement
from epistemic_stance.statistics.rates import rate_interval

FILE = Path(__file__).with_name("blind_reading.jsonl")
LABELS = ("incoherent", "pragmatic", "performative", "disclaimer")
PATTERNS = {"incoherent": "incoherent", "disclaimer": "ai_disclaimer"}
"""Label -> pattern of the rules; the others are groups."""


def rate(shown: Sequence[bool]) -> str:
    found = rate_interval(np.array(shown, dtype=np.int64), np.ones(len(shown), dtype=np.int64))
    return f"{100 * found.estimate:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]" if found else "-"


def by_rules(rows: Sequence[dict[str, Any]]) -> list[set[str]]:
    """Labels that the rules find in each answer."""
    patterns = load_patterns(load_stance(DEFAULT_STANCE))
    groups = {name: pattern.group for name, pattern in patterns.patterns.items()}
    names = {pattern: label for label, pattern in PATTERNS.items()}
    found = []
    for row in rows:
        hits = {hit.pattern for hit in patterns.search(row["response"], row["question"], row["category"]).hits}
        found.append({groups[hit] for hit in hits} | {names[hit] for hit in hits & names.keys()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    rows = [json.loads(line) for line in parser.parse_args().file.read_text(encoding="utf-8").splitlines()]
    readers = sorted({reader for row in rows for reader in row["readers"]})
    rules = by_rules(rows)
    print(f"| answers of | read by | answers | {' | '.join(LABELS)} |")
    print(f"|{'---|' * (len(LABELS) + 3)}")
    for arm in dict.fromkeys(row["arm"] for row in rows):
        of_arm = [number for number, row in enumerate(rows) if row["arm"] == arm]
        sources = [(reader, {n: rows[n]["readers"].get(reader) for n in of_arm}) for reader in readers]
        for name, labels in [*sources, ("the rules", {n: rules[n] for n in of_arm})]:
            known = [set(found) for found in labels.values() if found is not None]
            rates = [rate([label in found for found in known]) for label in LABELS]
            print(f"| {arm} | {name} | {len(known)} | {' | '.join(rates)} |")
    if len(readers) == 2:
        both = [row["readers"] for row in rows if len(row["readers"]) == 2]
        for label in LABELS:
            cells = [tuple(label in each[reader] for reader in readers) for each in both]
            table = Agreement(
                *(cells.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False)))
            )
            same = (table.both + table.neither) / len(both)
            print(f"{label}: of {len(both)} answers the two agree on {same:.2f}, kappa {table.kappa}")


if __name__ == "__main__":
    main()
