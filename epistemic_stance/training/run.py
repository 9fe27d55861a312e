"""Train a model on the pairs of a stance: what `stance train` does."""

from __future__ import annotations

from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.training.prepare import read_inputs


def run(settings: TrainSettings, reporter: Reporter) -> RunFolder | None:
    """Train, resume, or with `dry_run` only check and report the plan.

    Returns the run's folder, or None if nothing was trained: a dry run, or a run that had finished before.
    Raises InputError, RefusedError, NumericError, StorageError or StoppedError.
    """
    inputs = read_inputs(settings)
    # Torch takes seconds to import: what is wrong with the inputs is said before.
    from epistemic_stance.training.session import train

    return train(inputs, reporter)
