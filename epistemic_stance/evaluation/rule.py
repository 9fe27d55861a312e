"""The rule that chooses a checkpoint: its words, and digests of all that it depends on, to be written beforehand."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Literal

from epistemic_stance.evaluation.computed_flags import COMPUTED_FLAGS
from epistemic_stance.records.run_folder import RunFolder, read_if_sound, write_record
from epistemic_stance.records.validation import RuleRecord
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.splits import splits_of

RULE = """\
Candidates are the checkpoints that answered every question set which criteria, red flags and the choice name and \
which the base model answered, asked as the base model was, and of which the probes are known if they are of any.
A candidate with a raised red flag is out, whatever else it does. Red flags look at the questions of both halves.
A candidate whose gain on unseen select questions is inconclusive is out: its own 95 % interval and the 95 % band over \
all candidates have to lie above 0, and its p value has to be at most .05.
Of the rest the Pareto front is kept: those that no other one equals or beats in gain (more), capability loss (less) \
and KL from the base model on a neutral text (less), and beats in one of them. If capability is known of none, it \
plays no part; if KL is known of none, fewer epochs stand in for less KL.
Of the front, of those whose gain is within one standard error of the highest, the earliest is chosen. If none is \
left, none qualifies.
What is said of the chosen one is measured on report questions, which played no part in choosing."""


def digest_of(value: Any) -> str:
    """sha256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def rule_of(stance: Stance) -> RuleRecord:
    """The rule as it stands for a stance now."""
    computed = [flag.written(stance.selection.gain) for flag in COMPUTED_FLAGS] if stance.selection else []
    splits = {name: splits_of(questions.questions) for name, questions in stance.question_sets.items()}
    decided = {
        "rule": RULE,
        "criteria_digest": digest_of(
            [[criterion.model_dump(mode="json") for criterion in stance.criteria], _dumped(stance.selection)]
        ),
        "red_flags_digest": digest_of([flag.model_dump(mode="json") for flag in [*stance.red_flags, *computed]]),
        "split_digest": digest_of(splits),
        "stance_digest": digest_of(
            [
                {name: _dumped(questions) for name, questions in stance.question_sets.items()},
                [_dumped(source.file) for source in stance.patterns],
            ]
        ),
    }
    return RuleRecord(timestamp=datetime.now(UTC).isoformat(timespec="seconds"), **decided, digest=digest_of(decided))


def freeze_rule(run: RunFolder, rule: RuleRecord) -> RuleRecord:
    """Write the rule down before the answers are collected, once: one that is there already stays. Returns what is."""
    frozen = frozen_rule(run)
    if frozen is None:
        write_record(run.rule, rule)
    return frozen or rule


def frozen_rule(run: RunFolder) -> RuleRecord | None:
    """The rule that was written down for a run; None if none was, or none that can be read."""
    return read_if_sound(run.rule, RuleRecord)


def state_of_rule(run: RunFolder, rule: RuleRecord) -> Literal["before", "changed", "now"]:
    frozen = frozen_rule(run)
    if frozen is None:
        return "now"
    return "before" if frozen.digest == rule.digest else "changed"


def _dumped(record: Any) -> Any:
    return record.model_dump(mode="json") if record is not None else None
