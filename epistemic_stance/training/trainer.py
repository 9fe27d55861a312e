"""The loop: epochs of optimizer steps, a log line each, checkpoints and resume states where they are due."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from epistemic_stance.foundation.errors import StoppedError
from epistemic_stance.foundation.files import FolderLock, JsonlWriter, link_folder
from epistemic_stance.foundation.reporter import Epoch, Note, Progress, Reporter, Saved, Warned
from epistemic_stance.foundation.signals import StopSignals
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import (
    BaseAnswers,
    BestRecord,
    CheckpointEvaluationRecord,
    CheckpointMetadata,
    EpochRecord,
    ResumeState,
    RunRecord,
    StepRecord,
)
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.checkpoint_eval import CheckpointEvaluation
from epistemic_stance.training.checkpoints import rounded_weights, save_checkpoint, save_state
from epistemic_stance.training.engine import Engine, evaluate, learning_rate_at, optimizer_step, require_finite_weights
from epistemic_stance.training.guards import (
    STEP0_PAIRS,
    RunFacts,
    epoch_warnings,
    evaluation_warnings,
    require_zero_rewards,
)
from epistemic_stance.training.prepare import Job


@dataclass
class Run:
    """A run that is open for writing: job, engine, folder, logs. What changes from step to step comes last."""

    job: Job
    folder: RunFolder
    lock: FolderLock
    record: RunRecord
    engine: Engine
    facts: RunFacts
    evaluation: CheckpointEvaluation | None
    base_answers: BaseAnswers | None
    epoch_log: JsonlWriter
    steps_log: JsonlWriter
    reporter: Reporter
    state: ResumeState
    history: list[EpochRecord]
    """Epochs logged so far, read back from the log on resume."""


def epoch_batches(job: Job, epoch: int) -> list[list[EncodedPair]]:
    """The pairs of one epoch in the order its seed gives, cut into optimizer steps; the last may be smaller.

    The order is a function of seed and epoch alone, so that resuming needs no random state.
    """
    generator = torch.Generator().manual_seed(job.settings.seed * 1_000_003 + epoch)
    order = torch.randperm(len(job.encoded), generator=generator).tolist()
    size = job.pairs_per_step
    return [[job.encoded[index] for index in order[start : start + size]] for start in range(0, len(order), size)]


def run_epochs(run: Run, signals: StopSignals) -> None:
    """Train from where `run.state` stands to the last epoch.

    Raises StoppedError with the state saved, NumericError with nothing written, StorageError naming the last
    good state; run.json tells of an early end through `recorded_failure`.
    """
    job, state = run.job, run.state
    if state.step == 0:
        require_finite_weights(run.engine.model, "before training")
        first_pairs = [pair for batch in epoch_batches(job, 1) for pair in batch][:STEP0_PAIRS]
        require_zero_rewards(evaluate(run.engine, first_pairs), run.engine.compute_dtype, job.settings.beta)
    first_epoch = len(run.history) + 1
    for epoch in range(first_epoch, job.settings.epochs + 1):
        done = state.step - (epoch - 1) * job.steps_per_epoch
        for batch in epoch_batches(job, epoch)[done:]:
            _one_step(run, epoch, batch)
            due = job.checkpoint_steps.get(state.step)
            within = due is not None and due.is_step
            if within:
                _save_within_epoch(run, epoch)
            if signals.requested is not None:
                _stop(run, signals.requested, saved=within)
        _finish_epoch(run, epoch)
        if signals.requested is not None:
            _stop(run, signals.requested, saved=state.step in job.checkpoint_steps)
    run.lock.require_held()
    run.record.status = "finished"
    run.folder.write_record(run.record)


def _one_step(run: Run, epoch: int, batch: Sequence[EncodedPair]) -> None:
    started = time.perf_counter()
    step = run.state.step + 1
    rate = learning_rate_at(step, run.job.total_steps, run.job.settings)
    record = optimizer_step(run.engine, batch, epoch, step, rate)
    run.state.step = step
    run.state.epoch_steps.append(record)
    run.state.epoch_seconds += time.perf_counter() - started
    run.steps_log.append(record.model_dump(mode="json"), sync=False)
    run.reporter(Progress(step, run.job.total_steps, "steps", f"epoch {epoch}, loss {record.loss:.4f}"))


def _stop(run: Run, signal_number: int, saved: bool = False) -> None:
    if not saved:
        run.reporter(Note("stopping: saving the state"))
        save_resume_state(run)
    raise StoppedError(
        f"stopped by signal {signal_number} after step {run.state.step} of {run.job.total_steps}, state saved",
        signal_number,
        f"continue with the same command and --resume (--output-dir {run.folder.root} --resume)",
    )


def _finish_epoch(run: Run, epoch: int) -> None:
    """Measure, save and log one finished epoch. The resume state comes last: it makes the rest final."""
    run.lock.require_held()
    state = run.state
    record = epoch_record(run.job, epoch, state.epoch_steps, state.epoch_seconds)
    saves = state.step in run.job.checkpoint_steps
    if saves:
        _measure(run, record)
    record.warnings = _new_warnings(run, epoch, epoch_warnings([*run.history, record], run.facts))
    if saves:
        checkpoint = run.folder.checkpoint(epoch)
        _save(run, record, checkpoint, epoch)
        record.checkpoint = str(checkpoint.relative_to(run.folder.root))
        best = state.best
        if best is None or record.avg_loss < best.loss:
            best = BestRecord(epoch=epoch, loss=record.avg_loss, checkpoint=record.checkpoint)
        if best is not state.best or not run.folder.best.exists():
            link_folder(run.folder.root / best.checkpoint, run.folder.best)
        state.best = best
        if epoch == run.job.settings.epochs:
            link_folder(checkpoint, run.folder.final)
    run.epoch_log.append(record.model_dump(mode="json"))
    run.history.append(record)
    state.epoch_steps, state.epoch_seconds = [], 0.0
    if saves:
        save_resume_state(run)
    run.reporter(epoch_event(record))
    for message in record.warnings:
        run.reporter(Warned(message))


def _save_within_epoch(run: Run, epoch: int) -> None:
    """Measure and save the weights as they are. The record is metadata.json: the epoch log has one line an epoch."""
    run.lock.require_held()
    state = run.state
    record = epoch_record(run.job, epoch, state.epoch_steps, state.epoch_seconds)
    _measure(run, record)
    record.warnings = _new_warnings(run, epoch, evaluation_warnings(record, run.facts))
    checkpoint = run.folder.step_checkpoint(state.step)
    _save(run, record, checkpoint, state.step / run.job.steps_per_epoch)
    save_resume_state(run)
    summary = record.evaluation.summary if record.evaluation else None
    run.reporter(Saved(state.step, figures_of(record), checkpoint.name, summary))
    for message in record.warnings:
        run.reporter(Warned(message))


def _measure(run: Run, record: EpochRecord) -> None:
    """What is measured of weights that are to be saved."""
    run.engine.optimizer.zero_grad(set_to_none=True)  # room for the rounded copy and the generation cache
    require_finite_weights(run.engine.model, f"after step {record.step}")
    record.exported_loss = _exported_loss(run)
    record.evaluation = _evaluate_answers(run)


def _new_warnings(run: Run, epoch: int, warnings: Mapping[str, str]) -> list[str]:
    """Those that were not given before."""
    new = {name: message for name, message in warnings.items() if name not in run.state.warned}
    run.state.warned.update(dict.fromkeys(new, epoch))
    return list(new.values())


def _save(run: Run, record: EpochRecord, folder: Path, epochs_done: float) -> None:
    metadata = checkpoint_metadata(run.record, record, epochs_done)
    save_checkpoint(run.engine.model, run.job.files.folder, folder, run.job.save_dtype, metadata)


def _exported_loss(run: Run) -> float | None:
    """Mean loss of the weights as rounded for saving; None if saving rounds nothing or adapters are merged."""
    if run.job.save_dtype == torch.float32 or run.job.settings.lora_rank:
        return None
    with rounded_weights(run.engine.model, run.job.save_dtype):
        records = evaluate(run.engine, run.job.encoded)
    return sum(record.loss for record in records) / len(records)


def _evaluate_answers(run: Run) -> CheckpointEvaluationRecord | None:
    if run.evaluation is None or run.base_answers is None:
        return None

    def on_progress(done: int, most: int) -> None:
        detail = f"checkpoint evaluation, {done} of {most} tokens"
        run.reporter(Progress(run.state.step, run.job.total_steps, "steps", detail))

    return run.evaluation.evaluate(run.base_answers, on_progress)


def epoch_record(job: Job, epoch: int, steps: Sequence[StepRecord], seconds: float) -> EpochRecord:
    """Means over the pairs of these steps, each measured before its update."""
    pairs = [pair for step in steps for pair in step.pairs]

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    def share_above_zero(values: Sequence[float]) -> float:
        return mean([1.0 if value > 0 else 0.5 if value == 0 else 0.0 for value in values])

    def mean_if_any(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if known else None

    norms = [step.grad_norm for step in steps if step.grad_norm is not None]
    loss = mean([pair.loss for pair in pairs])
    chosen_nll = mean([-pair.chosen_logps / pair.chosen_tokens for pair in pairs])
    lengths = {pair.id: pair.packed_length for pair in job.encoded}
    tokens = sum(lengths[pair.id] for pair in pairs)
    return EpochRecord(
        epoch=epoch,
        step=steps[-1].step,
        avg_loss=loss,
        avg_accuracy=share_above_zero([pair.margin for pair in pairs]),
        absolute_preference=share_above_zero([pair.chosen_logps - pair.rejected_logps for pair in pairs]),
        absolute_preference_per_token=share_above_zero(
            [pair.chosen_logps / pair.chosen_tokens - pair.rejected_logps / pair.rejected_tokens for pair in pairs]
        ),
        avg_margin=mean([pair.margin for pair in pairs]),
        chosen_reward=mean([pair.chosen_reward for pair in pairs]),
        rejected_reward=mean([pair.rejected_reward for pair in pairs]),
        chosen_logps=mean([pair.chosen_logps for pair in pairs]),
        rejected_logps=mean([pair.rejected_logps for pair in pairs]),
        chosen_nll=chosen_nll,
        anchor_nll=mean_if_any([step.anchor_nll for step in steps]),
        anchor_base_nll=mean_if_any([step.anchor_base_nll for step in steps]),
        preference_loss=loss - job.settings.nll_weight * chosen_nll,
        grad_norm=mean_if_any(norms),
        max_grad_norm=max(norms, default=None),
        learning_rate=steps[-1].learning_rate,
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
    )


def epoch_event(record: EpochRecord) -> Epoch:
    checkpoint = Path(record.checkpoint).name if record.checkpoint else None
    return Epoch(record.epoch, figures_of(record), checkpoint, record.evaluation.summary if record.evaluation else None)


def figures_of(record: EpochRecord) -> dict[str, float]:
    fields = record.model_dump(exclude={"schema_version"})
    return {name: value for name, value in fields.items() if isinstance(value, int | float)}


def checkpoint_metadata(run: RunRecord, epoch: EpochRecord, epochs_done: float) -> CheckpointMetadata:
    """`epoch` is measured of the epoch that ends here, or of as much of it as was done."""
    return CheckpointMetadata(
        epoch=epochs_done,
        step=epoch.step,
        loss=epoch.avg_loss,
        accuracy=epoch.avg_accuracy,
        absolute_preference=epoch.absolute_preference,
        avg_margin=epoch.avg_margin,
        exported_loss=epoch.exported_loss,
        base_model=run.base_model,
        base_weights_digest=run.base_weights_digest,
        corpus_digest=run.corpus_digest,
        template_digest=run.template_digest,
        template_arguments=run.template_arguments,
        system_prompt=run.system_prompt,
        save_dtype=run.save_dtype,
        settings=run.settings,
        evaluation=epoch.evaluation,
        versions=run.versions,
    )


def save_resume_state(run: Run) -> None:
    run.lock.require_held()
    run.state.epoch_log_bytes = run.epoch_log.offset()
    run.state.steps_log_bytes = run.steps_log.offset()
    run.state.scaler = run.engine.scaler.state_dict() if run.engine.scaler else None
    save_state(run.folder.state, run.engine.model, run.engine.optimizer, run.state)
