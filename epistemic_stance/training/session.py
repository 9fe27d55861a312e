"""One session of training: open a run, new or resumed, and train it to its last epoch or until it is stopped."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from pydantic import ValidationError

from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.foundation.files import (
    FolderLock,
    JsonlWriter,
    dump_json,
    folder_lock,
    sweep_leftovers,
    write_atomic,
)
from epistemic_stance.foundation.provenance import git_revision, versions
from epistemic_stance.foundation.reporter import Finished, Note, Progress, Reporter, Started, Warned
from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS, TrainSettings
from epistemic_stance.foundation.signals import StopSignals
from epistemic_stance.models.engine import Decoder, make_decoder
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.models.load import load_model
from epistemic_stance.models.memory import tune_allocator
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import BaseAnswers, EpochRecord, ResumeState, RunRecord
from epistemic_stance.stance.check_likelihood import check_likelihoods, pair_likelihoods
from epistemic_stance.training.anchor import draw_seconds, open_anchor
from epistemic_stance.training.checkpoint_eval import (
    CheckpointEvaluation,
    EvalQuestions,
    EvaluationSeconds,
    choose_questions,
)
from epistemic_stance.training.checkpoints import load_state, newest_state
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.engine import Anchor, Engine, ReferenceLogps, make_optimizer, nll_per_token
from epistemic_stance.training.guards import RunFacts, first_loss
from epistemic_stance.training.lora import add_lora
from epistemic_stance.training.occupancy import (
    clear,
    last_good_state,
    recorded_failure,
    require_clearable,
    require_free,
    truncate,
)
from epistemic_stance.training.packing import PairForward, choose_forward
from epistemic_stance.training.plan import dtypes_to_time, header_rows, time_forward
from epistemic_stance.training.prepare import Inputs, Job, prepare, recorded_settings
from epistemic_stance.training.reference import compute_reference, load_reference, reference_key, save_reference
from epistemic_stance.training.resources import check_resources
from epistemic_stance.training.trainer import Run, run_epochs
from epistemic_stance.training.wording import WordingScale


def train(inputs: Inputs, reporter: Reporter) -> RunFolder | None:
    """What `run` does, once the inputs are read."""
    settings = inputs.settings
    folder = RunFolder(settings.output_dir)
    with _locked(folder, settings) as lock:
        job = prepare(inputs)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        tune_allocator()
        for message in job.warnings:
            reporter(Warned(message))
        resources = check_resources(job)
        with explained_out_of_memory(job, folder):
            policy = open_policy(job, folder, reporter)
        record = _run_record(job, policy)
        resumed = _recorded_run(folder, record, reporter) if settings.resume else None
        if resumed is not None and resumed.status == "finished":
            reporter(Note(f"{folder.root} is already finished; nothing to resume"))
            return None
        rows = header_rows(job, resumed or record, resources, policy.forward_seconds, policy.evaluation_seconds)
        reporter(Started("stance train", rows))
        if lock is None or settings.dry_run:
            reporter(Note("dry run: everything is in order, nothing was trained"))
            return None
        if settings.overwrite:
            clear(folder)
        record = resumed or record
        with recorded_failure(folder, record, lock), explained_out_of_memory(job, folder):
            run = _open_run(job, folder, policy, reporter, record=record, lock=lock)
            if resumed is not None:
                _restore(run)
            _train(run)
    best = run.state.best
    assert best is not None, "the last epoch is always saved"
    lowest = f"lowest loss: epoch {best.epoch} (best_model), rarely the one to use: see TRAINING_GUIDE.md"
    reporter(Finished((lowest, f"checkpoints: {folder.checkpoints}")))
    return folder


@contextlib.contextmanager
def explained_out_of_memory(job: Job, folder: RunFolder) -> Iterator[None]:
    """Turn an allocation failure of Python, CUDA or torch's CPU allocator into an error that says what to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        attempts = ["--device cpu"] if job.device != "cpu" else []
        if job.settings.batch_size > 1:
            attempts.append(f"--batch-size 1 --gradient-accumulation {job.pairs_per_step}")
        attempts += ["--lora-rank 16"] if not job.settings.lora_rank else []
        raise RefusedError(
            f"out of memory on {job.device}; last good state: {last_good_state(folder)}",
            f"start anew with {', or '.join(attempts) or 'a shorter --max-length or a smaller model'}",
        ) from error


@contextlib.contextmanager
def _locked(folder: RunFolder, settings: TrainSettings) -> Iterator[FolderLock | None]:
    """The folder's lock, or None in a dry run without a folder, which leaves no trace.

    Raises RefusedError, before anything is loaded, for a folder that is in use, taken, or holds nothing to resume.
    """
    if settings.resume and folder.record() is None:
        raise RefusedError(f"there is no run to resume in {folder.root}", "leave --resume out to start one")
    if settings.dry_run and not folder.root.exists():
        yield None
        return
    with folder_lock(folder.root) as lock:
        if settings.overwrite:
            require_clearable(folder)
        elif not settings.resume:
            require_free(folder)
        yield lock


@dataclass(frozen=True)
class Policy:
    """The model to train, still equal to the reference, and how it is run forward."""

    model: Any
    forward: PairForward
    forward_seconds: Mapping[str, float]
    """Precision -> seconds of a forward pass of the longest pair."""
    decoder: Decoder | None
    """None where nothing is to be answered."""
    evaluation: CheckpointEvaluation | None
    evaluation_seconds: EvaluationSeconds


def open_policy(job: Job, folder: RunFolder, reporter: Reporter) -> Policy:
    model = load_model(job.files.folder, job.device, config=job.config)
    if job.settings.lora_rank:
        add_lora(model, job.settings.lora_rank, job.settings.seed)
    forward = choose_forward(model, job.encoded)
    seconds = time_forward(model, forward, job.encoded, dtypes_to_time(job.compute_dtype, job.device))
    questions = _eval_questions(job, reporter)
    decoder = evaluation = None
    if questions or job.anchor_prompts:
        saved = _saved_base_answers(folder) if job.settings.resume else None
        decoder = make_decoder(model, job.tokenizer, job.stop_ids, saved.products if saved else None)
    if decoder and questions:
        evaluation = CheckpointEvaluation(decoder, questions, job.pairs, WordingScale(job.pairs), job.system_prompt)
    answering = evaluation.seconds() if evaluation else EvaluationSeconds(0.0, 0.0)
    if decoder and job.anchor_prompts:
        answering = replace(
            answering, base=answering.base + draw_seconds(decoder, job.anchor_prompts, job.anchor_draws)
        )
    return Policy(model, forward, seconds, decoder, evaluation, answering)


def _eval_questions(job: Job, reporter: Reporter) -> EvalQuestions | None:
    questions = choose_questions(job.stance, job.pairs, job.settings.eval_questions)
    if not questions.unseen or WordingScale(job.pairs).gap <= 0:
        if job.settings.eval_questions:
            why = "the stance has no unseen questions" if not questions.unseen else "its answers share their words"
            reporter(Warned(f"checkpoints are not evaluated on unseen questions: {why}"))
        return None
    return questions


def _run_record(job: Job, policy: Policy) -> RunRecord:
    parameters = list(policy.model.parameters())
    return RunRecord(
        run_id=secrets.token_hex(8),
        status="running",
        started=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        settings=recorded_settings(job.settings),
        base_model=job.files.name,
        base_weights_digest=job.weights_digest,
        corpus_digest=job.corpus_digest,
        anchor_digest=job.anchor_digest,
        template_digest=job.template_digest,
        template_arguments=TEMPLATE_ARGUMENTS,
        system_prompt=job.system_prompt,
        stance_title=job.stance.title or job.stance.name,
        stance_description=job.stance.description,
        pairs=len(job.pairs),
        pairs_by_category=dict(Counter(pair.category for pair in job.pairs)),
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        device=job.device,
        compute_dtype=str(job.compute_dtype).removeprefix("torch."),
        save_dtype=str(job.save_dtype).removeprefix("torch."),
        packed=policy.forward.packed,
        packing=policy.forward.reason,
        threads=torch.get_num_threads(),
        seed=job.settings.seed,
        total_steps=job.total_steps,
        log_file=f"training_log_{datetime.now(UTC).astimezone():%Y%m%d_%H%M%S}.jsonl",
        revision=git_revision(),
        versions=versions(),
    )


MUST_MATCH = (
    "base_weights_digest",
    "corpus_digest",
    "anchor_digest",
    "template_digest",
    "template_arguments",
    "system_prompt",
    "device",
    "compute_dtype",
    "save_dtype",
    "packed",
    "threads",
)


def _recorded_run(folder: RunFolder, now: RunRecord, reporter: Reporter) -> RunRecord:
    """The stopped run's record, if continuing it would be the same run. Raises RefusedError naming what changed."""
    recorded = folder.record()
    assert recorded is not None, "checked before loading"
    changed = [
        f"{name}: was {getattr(recorded, name)}, is {getattr(now, name)}"
        for name in MUST_MATCH
        if getattr(recorded, name) != getattr(now, name)
    ]
    changed += [
        f"--{name.replace('_', '-')}: was {recorded.settings.get(name)}, is {value}"
        for name, value in now.settings.items()
        if recorded.settings.get(name) != value
    ]
    if changed:
        raise RefusedError(
            "this would not continue the same run:\n  " + "\n  ".join(changed),
            "use the settings of the stopped run, or start anew with --overwrite",
        )
    if recorded.versions != now.versions:
        reporter(Warned("package versions changed since the run was started: resuming may not be bit-exact"))
    return recorded


def _open_run(
    job: Job, folder: RunFolder, policy: Policy, reporter: Reporter, *, record: RunRecord, lock: FolderLock
) -> Run:
    """Everything a run needs, with the policy still untouched: the reference and base answers come from it."""
    lock.require_held()
    record.status, record.reason = "running", ""
    folder.write_record(record)
    for path in (folder.checkpoints, folder.state):
        path.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(path)
    for path in (folder.best, folder.final, folder.record_path):
        sweep_leftovers(folder.root, path.name)
    settings = job.settings
    objective = Objective.of(settings)
    key = reference_key(job.weights_digest, job.encoded, policy.forward, job.compute_dtype)
    reference = _reference(job, folder, policy, key)
    for finding in check_likelihoods(pair_likelihoods(job.pairs, job.encoded, reference)):
        reporter(Warned(str(finding.problem)))
    base = _base_answers(policy.evaluation, folder, reporter)
    anchor = _anchor(job, policy, folder, reporter)
    scaler = torch.amp.GradScaler(job.device) if job.compute_dtype == torch.float16 else None
    return Run(
        job=job,
        folder=folder,
        lock=lock,
        record=record,
        engine=Engine(
            model=policy.model,
            forward=policy.forward,
            objective=objective,
            reference=reference,
            optimizer=make_optimizer(policy.model, settings),
            batch_size=settings.batch_size,
            compute_dtype=job.compute_dtype,
            max_grad_norm=settings.max_grad_norm,
            scaler=scaler,
            anchor=anchor,
        ),
        facts=RunFacts(
            settings=settings,
            first_loss=first_loss(objective, job.encoded, reference),
            reference_frozen=lambda: load_reference(folder.reference, key) == reference,
        ),
        evaluation=policy.evaluation,
        base_answers=base,
        epoch_log=JsonlWriter(folder.logs / record.log_file),
        steps_log=JsonlWriter(folder.steps_log),
        reporter=reporter,
        state=ResumeState.beginning(record.run_id),
        history=[],
    )


def _reference(job: Job, folder: RunFolder, policy: Policy, key: str) -> ReferenceLogps:
    cached = load_reference(folder.reference, key)
    if cached is not None:
        return cached
    reference = compute_reference(policy.model, policy.forward, job.encoded, job.compute_dtype)
    save_reference(folder.reference, key, reference)
    return reference


def _anchor(job: Job, policy: Policy, folder: RunFolder, reporter: Reporter) -> Anchor | None:
    if policy.decoder is None or not job.anchor_prompts:
        return None
    anchor = open_anchor(
        job,
        policy.decoder,
        folder,
        lambda done, most: reporter(Progress(done, most, "tokens", "the base model's answers to anchor prompts")),
    )
    tokens = sum(len(answer.answer_ids) for answer in anchor.answers)
    nll = nll_per_token([answer.base_logps for answer in anchor.answers])
    reporter(Note(f"anchor: {len(anchor.answers)} answers of the base model, {tokens} tokens, NLL {nll:.3f} a token"))
    return anchor


def _saved_base_answers(folder: RunFolder) -> BaseAnswers | None:
    try:
        return BaseAnswers.model_validate_json(folder.base_answers.read_bytes())
    except (OSError, ValidationError):
        return None


def _base_answers(evaluation: CheckpointEvaluation | None, folder: RunFolder, reporter: Reporter) -> BaseAnswers | None:
    """The base model's answers, asked once; a resumed run reads them back."""
    if evaluation is None:
        return None
    saved = _saved_base_answers(folder)
    if saved is not None and saved.questions == [text for _, text in evaluation.questions.unseen]:
        return saved
    base = evaluation.base_answers(
        lambda done, most: reporter(Progress(done, most, "tokens", "answers of the base model"))
    )
    write_atomic(folder.base_answers, dump_json(base.model_dump(mode="json")))
    return base


def _restore(run: Run) -> None:
    """Set run, weights, optimizer and logs to the newest state that verifies; without one, to the beginning."""
    newest, passed_over = newest_state(run.folder.state, run.record.run_id)
    for reason in passed_over:
        run.reporter(Warned(f"state {reason}; set aside, using the one before"))
    if newest is not None:
        run.state = load_state(newest, run.engine.model, run.engine.optimizer)
        if run.engine.scaler and run.state.scaler:
            run.engine.scaler.load_state_dict(run.state.scaler)
    log = run.folder.logs / run.record.log_file
    truncate(log, run.state.epoch_log_bytes)
    truncate(run.folder.steps_log, run.state.steps_log_bytes)
    run.history = [EpochRecord.model_validate_json(line) for line in log.read_bytes().splitlines()]
    run.reporter(Note(f"resuming after step {run.state.step} of {run.job.total_steps}"))


def _train(run: Run) -> None:
    run.reporter(Progress(run.state.step, run.job.total_steps, "steps"))
    try:
        with StopSignals() as signals:
            run_epochs(run, signals)
    finally:
        run.epoch_log.close()
        run.steps_log.close()
