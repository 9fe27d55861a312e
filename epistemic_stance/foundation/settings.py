"""Every default, once. The command line, the run header and the records all read them here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
DEMO_MODEL = "demo"
DEMO_NOTICE = "the demo model is a small stand-in for seeing and testing the machinery; it is not evidence about Qwen"
GGUF_SUFFIX = ".gguf"
DEFAULT_STANCE = "epistemic"

TEMPLATE_ARGUMENTS: dict[str, Any] = {"enable_thinking": False, "date_string": "01 Jan 2026"}
"""Passed to every chat template, in training and in every later use: Qwen3 opens a think block and Llama 3.2
prints today's date unless told otherwise, and a prompt that differs from the trained one is another task."""

LossName = Literal["sigmoid", "ipo", "hinge"]
ScheduleName = Literal["linear", "constant"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
ComputeDtype = Literal["auto", "float32", "bfloat16", "float16"]
CollectMode = Literal["quick", "screen", "comprehensive", "custom"]
SplitChoice = Literal["all", "select", "report"]
SaveDtype = Literal["auto", "float32", "bfloat16", "float16"]


def setting(default: Any, meaning: str) -> Any:
    """A dataclass field with the sentence that `--help` shows for it."""
    return field(default=default, metadata={"help": meaning})


def setting_list(meaning: str) -> Any:
    """A field for a flag that may be given several times."""
    return field(default_factory=list, metadata={"help": meaning})


def argument(meaning: str) -> Any:
    """A field that is given by its place on the command line, and has to be given."""
    return field(metadata={"help": meaning, "argument": True})


@dataclass(frozen=True)
class TrainSettings:
    """One training run as asked for. Immutable: a run is the run that was asked for."""

    model: str = setting(
        DEFAULT_MODEL,
        "Hugging Face id, folder or .gguf file of the model to train; 'demo' is the small embedded stand-in.",
    )
    stance: str = setting(DEFAULT_STANCE, "Stance to train: a shipped name or a folder holding stance.toml.")
    corpus: Path | None = setting(
        None, "Pairs to train on (guide JSON or prompt/chosen/rejected JSONL). Default: the stance's own corpus."
    )
    output_dir: Path = setting(Path("fine_tuned_model"), "Run folder: checkpoints, logs and resume state.")
    recipe: str = setting("", "Named preset of the settings below: robust. Flags given beside it win. Default: none.")
    epochs: int = setting(200, "Passes over all pairs.")
    checkpoint_every: int = setting(10, "Save a checkpoint every N epochs; the last epoch is always saved.")
    checkpoint_at: str = setting(
        "", "Extra checkpoints: epochs and optimizer steps, for example step5,step10,1,2,3 (early ones change most)."
    )
    learning_rate: float = setting(1e-5, "Peak learning rate of AdamW.")
    beta: float = setting(0.1, "DPO temperature: reward = beta * (policy - reference log-probability).")
    loss: LossName = setting("sigmoid", "Preference loss: sigmoid (DPO), ipo or hinge.")
    label_smoothing: float = setting(0.0, "Conservative DPO: share of swapped labels, below 0.5 (not TRL's sigmoid).")
    length_normalize: bool = setting(False, "Divide log-ratios by the answer's tokens (ipo always does).")
    nll_weight: float = setting(0.0, "Weight of the negative log-likelihood of the chosen answer (RPO); 0 = off.")
    dpop_weight: float = setting(0.0, "Weight of the penalty on chosen falling below the reference (DPOP); 0 = off.")
    anchor_weight: float = setting(
        0.0, "Weight of the anchor: the base model's own answers to neutral prompts are kept likely; 0 = off."
    )
    batch_size: int = setting(1, "Pairs per forward pass.")
    gradient_accumulation: int = setting(1, "Forward passes per optimizer step.")
    warmup_steps: int = setting(10, "Optimizer steps of linear warm-up; step 1 already moves.")
    lr_schedule: ScheduleName = setting("linear", "After warm-up: linear decay to 0, or constant.")
    weight_decay: float = setting(0.01, "AdamW weight decay; not applied to biases and norms.")
    max_grad_norm: float = setting(1.0, "Clip the gradient to this norm; 0 = never.")
    seed: int = setting(42, "Seed of shuffling and LoRA initialisation.")
    device: DeviceName = setting("auto", "Where to train: auto, cpu, cuda or mps.")
    dtype: ComputeDtype = setting("auto", "Compute precision; master weights are float32 whatever this says.")
    save_dtype: SaveDtype = setting("auto", "Precision of saved checkpoints; auto = that of the base model's files.")
    lora_rank: int = setting(0, "Train LoRA adapters of this rank (merged when saved); 0 = all weights.")
    max_length: int = setting(1024, "Longest prompt + answer in tokens; a longer pair is an error, never cut.")
    system_prompt: str | None = setting(None, "System prompt. Default: the stance's, else the template's own.")
    eval_questions: int = setting(16, "Unseen questions answered at every checkpoint to see a shift; 0 = off.")
    threads: int = setting(0, "CPU threads; 0 = torch's choice. Exact resume needs the same number.")
    resume: bool = setting(False, "Continue the run in --output-dir from its last saved state, bit for bit.")
    overwrite: bool = setting(False, "Delete the finished or stopped run in --output-dir and start anew.")
    dry_run: bool = setting(False, "Check everything, print the plan with time, memory and disk, train nothing.")


NOT_PART_OF_A_RUN = ("output_dir", "resume", "overwrite", "dry_run")
"""Settings that say how a run is invoked; `--resume` compares all the others with the stopped run's."""


@dataclass(frozen=True)
class CheckSettings:
    """What `stance check` looks at before anything is trained."""

    stance: str = setting(TrainSettings.stance, "Stance to check: a shipped name or a folder holding stance.toml.")
    corpus: Path | None = setting(None, "Pairs to check instead of the stance's own corpus.")
    model: str | None = setting(
        None,
        "Also check in tokens, and measure how likely its answers are to this model; fetched if it is not here yet, "
        "as for training.",
    )
    max_length: int = setting(TrainSettings.max_length, "Longest prompt + answer in tokens, as in training.")
    device: DeviceName = setting(TrainSettings.device, "Where to measure: auto, cpu, cuda or mps.")


@dataclass(frozen=True)
class SuggestSettings:
    """A corpus whose rejected answers are a model's own."""

    model: str = setting(DEFAULT_MODEL, "Model whose own answers to draw: Hugging Face id, folder, or demo.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose corpus and patterns to use: a shipped name or a folder.")
    corpus: Path | None = setting(None, "Pairs to begin from. Default: the stance's own corpus.")
    output: Path = setting(Path("suggested_corpus.json"), "The new corpus file; one that exists is never replaced.")
    temperature: float = setting(0.7, "Sampling temperature; 0 = greedy.")
    max_new_tokens: int = setting(256, "Longest answer in tokens; one that reaches it is not used.")
    seed: int = setting(42, "Seed of the sampling; another seed draws other answers.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")


@dataclass(frozen=True)
class QuestionsSettings:
    """Which questions to list."""

    stance: str = setting(TrainSettings.stance, "Stance whose questions to list: a shipped name or a folder.")
    questions: str | None = setting(None, "One question set, category by category. Default: all sets.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the stance's.")
    json: bool = setting(False, "Print one JSON line per question instead of a table.")


@dataclass(frozen=True)
class AnswersSettings:
    """What `stance answers` asks, and of whom."""

    model: str = setting("fine_tuned_model/final_model", "Tuned model: a checkpoint folder, run/checkpoint-50, ...")
    base: str | None = setting(None, "Model to compare with. Default: the one the checkpoint was trained from.")
    stance: str | None = setting(None, "Stance whose questions to ask. Default: the one the checkpoint was trained on.")
    seen: int = setting(2, "Questions from the training corpus.")
    unseen: int = setting(6, "Questions from the first question set, one category after the other.")
    facts: int = setting(2, "Questions with an answer key: these should stay as they were.")
    max_new_tokens: int = setting(120, "Longest answer in tokens.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")


@dataclass(frozen=True)
class DemoSettings:
    """What `stance demo` can be told."""

    output_dir: Path = setting(Path("demo_run"), "Run folder of the demo; an earlier demo in it is replaced.")
    epochs: int = setting(8, "Passes over the 25 pairs.")
    threads: int = setting(1, "CPU threads; 0 = torch's choice. Another number gives another run.")


@dataclass(frozen=True)
class CollectSettings:
    """One collection: which questions, how often, of whom."""

    model: str = setting(
        DEFAULT_MODEL, "Model to ask: Hugging Face id, folder, .gguf file, run/checkpoint-50, or demo."
    )
    stance: str = setting(DEFAULT_STANCE, "Stance whose questions to ask: a shipped name or a folder.")
    questions: str = setting("phase1", "Question set of the stance; trained = the questions of the corpus.")
    corpus: Path | None = setting(None, "Pairs whose questions `trained` asks. Default: the stance's own corpus.")
    mode: CollectMode = setting(
        "comprehensive",
        "comprehensive: the whole set as the stance asks it; quick: a small part; screen: a first look at many "
        "checkpoints, select questions only; custom: as flagged.",
    )
    split: SplitChoice = setting("all", "Questions to ask: those to choose a checkpoint by, to report on it, or all.")
    categories: str = setting("", "Categories to ask, for example experiential,comparative. Default: the mode's.")
    temps: str = setting("", "Temperatures, for example 0.3,0.7; 0 = greedy, asked once. Default: the mode's.")
    iterations: int | None = setting(None, "Answers per question and temperature. Default: the mode's.")
    max_responses: int | None = setting(None, "Ask for at most so many answers, spread over the questions.")
    max_new_tokens: int | None = setting(None, "Longest answer in tokens. Default: the question set's.")
    top_p: float = setting(1.0, "Sample from the most likely tokens of this total probability; 1 = all.")
    top_k: int = setting(0, "Sample from so many most likely tokens; 0 = all.")
    repetition_penalty: float = setting(1.0, "Divide the logits of tokens that occurred; 1 = off.")
    system_prompt: str | None = setting(None, "System prompt. Default: the stance's, else the template's own.")
    seed: int = setting(42, "Seed of all sampling.")
    output_dir: Path | None = setting(
        None, "Folder for responses.jsonl. Default: bias_data/ or baseline_data/ with the time in the file's name."
    )
    overwrite: bool = setting(False, "Replace the answers in --output-dir instead of completing them.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")
    dtype: ComputeDtype = setting("auto", "Precision of the weights while answering.")
    slots: int = setting(0, "Answers generated side by side; 0 = by memory and device.")
    threads: int = setting(0, "CPU threads; 0 = torch's choice.")
    backend: str | None = setting(
        None, "What answers: transformers, on this machine, or endpoint, a server. Default: endpoint with --endpoint."
    )
    endpoint: str | None = setting(
        None,
        "Ask an OpenAI-compatible server, for example http://127.0.0.1:8000/v1; --model is the name it has there.",
    )
    concurrency: int = setting(8, "Requests to the endpoint at a time.")
    request_timeout: float = setting(300.0, "Seconds until a request counts as lost.")
    api_key_variable: str = setting("OPENAI_API_KEY", "Environment variable that holds the endpoint's key.")


@dataclass(frozen=True)
class ScoreSettings:
    """Scores of one file of answers."""

    file: Path = argument("Answers: a responses.jsonl of ours, or any JSONL with question, category, response.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose patterns and answer keys to use: a shipped name or a folder.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the stance's.")
    output: Path | None = setting(None, "Folder for scores.jsonl. Default: beside the answers.")


@dataclass(frozen=True)
class AnalyzeSettings:
    """One analysis of one file of answers."""

    file: Path = argument("Answers: a responses.jsonl of ours, or any JSONL with question, category, response.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose patterns and answer keys to use: a shipped name or a folder.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the stance's.")
    split: SplitChoice = setting("all", "Answers to count: to select questions, to report questions, or all.")
    labels: Path | None = setting(None, "Labels to correct rates by. Default: those of the run the answers belong to.")
    output: Path | None = setting(None, "Folder for scores, JSON and Markdown. Default: beside the answers.")
    examples: int = setting(3, "Examples shown per pattern.")
    seed: int = setting(42, "Seed of the choice of examples.")


@dataclass(frozen=True)
class CompareSettings:
    """One comparison of two files of answers."""

    before: Path = argument("Answers of the base model: a file, or a folder with responses.jsonl.")
    after: Path = argument("Answers of the tuned model.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose patterns and answer keys to use: a shipped name or a folder.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the stance's.")
    split: SplitChoice = setting(AnalyzeSettings.split, "Answers to compare: to select questions, to report, or all.")
    labels: Path | None = setting(None, "Labels to correct rates by. Default: those of the runs the answers belong to.")
    output: Path | None = setting(None, "Folder for comparison.json and comparison.md. Default: that of AFTER.")
    allow_different: bool = setting(False, "Compare even if sampling, template or questions differ.")
    pairs: int = setting(10, "Random pairs of answers shown.")
    seed: int = setting(42, "Seed of the flips that p values draw, and of the choice of pairs.")


@dataclass(frozen=True)
class FindingsSettings:
    """The two documents about a baseline run."""

    file: Path = argument("Answers to the baseline set, as collect_baseline.py writes them.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose patterns and answer keys to use: a shipped name or a folder.")
    output_dir: Path = setting(Path(), "Folder for baseline_analysis.md and BASELINE_FINDINGS.md.")


@dataclass(frozen=True)
class LabelScoreSettings:
    """How well the patterns agree with labels that people gave."""

    file: Path = argument("JSONL with id, question, response, labels, ignore and optional category, arm.")
    stance: str = setting(DEFAULT_STANCE, "Stance whose patterns to score: a shipped name or a folder.")
    json: bool = setting(False, "Print JSON instead of a table.")
    require: list[str] = setting_list("Least F1 of a label, for example refusal=.85; exit 1 below. May be repeated.")


JUDGED_PER_MODEL = 60
"""Answers of a model to label for its criteria: those of two models take ten minutes."""
DRAWN_PER_MODEL = 200
"""The same for every pattern."""


@dataclass(frozen=True)
class LabelSettings:
    """A sample of a run's answers, to be labelled in CSV files."""

    run: Path = argument("Run folder with validation/MODEL/SET/responses.jsonl, or one file or folder of answers.")
    annotator: str = setting(
        "",
        "Whose label file to write; a second name gets the same answers in other order. Default: first.",
    )
    patterns: bool = setting(
        False, "Ask for every pattern instead of what the criteria judge, of answers drawn by what the rules find."
    )
    models: str = setting(
        "", "Models to draw from, for example base,checkpoint-050. Default: base and chosen; all with --patterns."
    )
    questions: str = setting(
        "", "Question sets to draw from, with --patterns. Default: all but those with an answer key throughout."
    )
    number: int | None = setting(
        None,
        f"Answers per model. Default: {JUDGED_PER_MODEL}, with --patterns {DRAWN_PER_MODEL}; or what was drawn.",
    )
    stance: str | None = setting(None, f"Stance whose patterns to label. Default: the run's, else {DEFAULT_STANCE}.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the run's.")
    judge: str | None = setting(
        None, "Ask an OpenAI-compatible server for a second opinion, for example http://127.0.0.1:8000/v1."
    )
    judge_model: str = setting("", "Name of the judge model on that server.")
    api_key_variable: str = setting(
        CollectSettings.api_key_variable, "Environment variable that holds the judge server's key."
    )


@dataclass(frozen=True)
class ProbeSettings:
    """Probes of a run's checkpoints, or of one model, without sampling."""

    target: str = argument("Run folder (its base and every checkpoint are probed), or one checkpoint or model.")
    base: str | None = setting(None, "Model to compare with. Default: the one the checkpoint was trained from.")
    stance: str | None = setting(None, "Stance whose [probes] to use. Default: the one the checkpoint was trained on.")
    checkpoints: str = setting("", "Checkpoints to probe, by epoch or step, for example 10,50,step5. Default: all.")
    choices: int = setting(60, "Multiple choice questions, spread over the categories; 0 = none.")
    output_dir: Path | None = setting(None, "Folder for the figures. Default: validation/ in the run folder.")
    overwrite: bool = setting(False, "Measure also what is finished and unchanged.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")
    dtype: ComputeDtype = setting("auto", "Precision of the weights; log-probabilities are float32 whatever this says.")
    threads: int = setting(0, "CPU threads; 0 = torch's choice.")


@dataclass(frozen=True)
class ChatSettings:
    """Whom to talk to, and how they answer."""

    model: str = setting("fine_tuned_model/final_model", "Model to talk to: a checkpoint, run/checkpoint-50, demo, ...")
    base: str | None = setting(
        None,
        "Model to talk to beside it; none = talk to one alone. Default: what the checkpoint was trained from, if it is "
        "one of ours.",
    )
    system_prompt: str | None = setting(
        None, "System prompt. Default: the one the checkpoint was trained with, else the stance's."
    )
    temperature: float = setting(0.7, "Temperature; 0 = greedy.")
    seed: int = setting(42, "Seed of the first answer; each turn adds 1.")
    max_new_tokens: int = setting(256, "Longest answer in tokens.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")
    stance: str | None = setting(None, "Stance whose system prompt to use: a shipped name or a folder.")


@dataclass(frozen=True)
class StatusSettings:
    """What `stance status` looks at."""

    run: Path = setting(TrainSettings.output_dir, "Run folder to look into.")
    stance: str | None = setting(None, f"Stance to look at. Default: the one the run trains, else {DEFAULT_STANCE}.")
    model: str | None = setting(None, f"Model to train. Default: the one the run trains, else {DEFAULT_MODEL}.")
    output: Path = setting(Path("PHASE2_READY.md"), "Page to write.")


@dataclass(frozen=True)
class RunSettings:
    """From a run's checkpoints to a choice: full passes over its base model and a few of its checkpoints."""

    run: Path = argument("Run folder of a training.")
    checkpoints: str = setting(
        "",
        "Checkpoints to ask, by epoch or step, for example 50,step5, or all. Default: those that a first look finds "
        "promising.",
    )
    questions: str = setting("", "Question sets to ask, for example phase1,safety. Default: all that are sampled.")
    base: str | None = setting(None, "Model to compare with. Default: the one the checkpoints were trained from.")
    stance: str | None = setting(None, "Stance whose questions to ask. Default: the one the run was trained on.")
    budget: str = setting(
        "", "Time for probes and answers, such as 60m or 2h: as many answers as fit; a longer one later adds to them."
    )
    choices: int = setting(ProbeSettings.choices, "Multiple choice questions of the probes; 0 = none.")
    seed: int = setting(CollectSettings.seed, "Seed of all sampling.")
    device: DeviceName = setting("auto", "Where to run: auto, cpu, cuda or mps.")
    dtype: ComputeDtype = setting("auto", "Precision of the weights while answering.")
    slots: int = setting(0, "Answers generated side by side; 0 = by memory and device.")
    threads: int = setting(0, "CPU threads; 0 = torch's choice.")
    overwrite: bool = setting(False, "Probe and ask anew what is finished and unchanged, or was asked otherwise.")


@dataclass(frozen=True)
class ValidateSettings(RunSettings):
    """The same up to the comparisons, or only the first look."""

    screen: bool = setting(
        False,
        "Only a cheap first look: probes and a few answers to select questions, of all checkpoints or those named.",
    )


@dataclass(frozen=True)
class SelectSettings:
    """One choice among a run's checkpoints."""

    run: Path = argument("Run folder with validation/ARM/SET/responses.jsonl of base and checkpoints.")
    stance: str | None = setting(None, "The run's stance, where its folder has moved. Default: as the run recorded it.")
    corpus: Path | None = setting(None, "Pairs that tell seen questions from unseen ones. Default: the run's.")
    seed: int = setting(AnalyzeSettings.seed, "Seed of the flips that p values draw, and of the band over checkpoints.")


@dataclass(frozen=True)
class ReportSettings:
    """A run as a page for people."""

    run: Path = argument("Run folder: whatever lies in it is shown, and what is missing is said.")
    output: Path | None = setting(None, "Folder for report.html and report.md. Default: the run folder.")
    sample: int = setting(1500, "Pairs of answers, one of each model, that the page holds at most.")
    seed: int = setting(42, "Seed of the choice of answers.")
