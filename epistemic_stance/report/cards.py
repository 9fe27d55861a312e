"""Model cards: what a Hugging Face page has to say of a model folder that a run made, from the records of the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from epistemic_stance.foundation.files import committed_weights_digest, write_atomic
from epistemic_stance.foundation.settings import DEFAULT_MODEL, DEMO_MODEL, DEMO_NOTICE, GGUF_SUFFIX
from epistemic_stance.records.run_folder import (
    BEST_MODEL,
    CARD_FILE,
    FINAL_MODEL,
    METADATA_FILE,
    RunFolder,
    read_if_sound,
)
from epistemic_stance.records.training import CheckpointMetadata, RunRecord
from epistemic_stance.records.validation import (
    CandidateRecord,
    SelectionRecord,
)
from epistemic_stance.report.figures import points
from epistemic_stance.report.markdown import escaped, table
from epistemic_stance.report.markdown_page import table_lines
from epistemic_stance.report.selection_sections import (
    ABOUT_CRITERIA,
    ABOUT_FLAGS,
    FROZEN,
    criteria_table,
    flag_table,
)

MARK = "<!-- Written by `stance`, and anew by every `stance select`. Delete this line to keep what you change. -->"
HUB_ID = re.compile(r"(?!.*checkpoint-(step-)?\d+$)[A-Za-z0-9][\w.-]*(/[\w.-]+)?", re.ASCII)
"""An id on the Hub. A name that ends like a checkpoint's is a path into a run folder, whatever it looks like."""
LICENSES = {DEFAULT_MODEL: "apache-2.0", DEMO_MODEL: "apache-2.0"}
"""Of base models whose license is known here; the card of another one names no license."""
SETTINGS = {
    "loss": "loss",
    "beta": "beta",
    "nll_weight": "weight of the NLL of the chosen answer",
    "dpop_weight": "weight of the DPOP penalty",
    "label_smoothing": "label smoothing",
    "length_normalize": "log-ratios divided by length",
    "learning_rate": "learning rate",
    "lr_schedule": "schedule",
    "warmup_steps": "warm-up steps",
    "weight_decay": "weight decay",
    "max_grad_norm": "gradient clipping",
    "batch_size": "pairs per forward pass",
    "gradient_accumulation": "forward passes per step",
    "lora_rank": "LoRA rank (0 = all weights)",
    "epochs": "epochs of the run",
    "seed": "seed",
}
"""Name in run.json -> what a card calls it. Names of files and folders are left out: they are the user's own."""


@dataclass(frozen=True)
class CardFacts:
    """All that a card is made of."""

    name: str
    """Of the folder: best_model, final_model, or a checkpoint."""
    run: RunRecord
    metadata: CheckpointMetadata
    weights_digest: str
    selection: SelectionRecord | None
    """None: not validated since it was trained."""


# --- files -------------------------------------------------------------------------------------------------


def write_cards(run: RunFolder, selection: SelectionRecord | None = None) -> list[Path]:
    """Write the cards of best_model and final_model; with a selection also those of the chosen and of the formerly
    chosen checkpoints. Returns what was written.

    A card lies outside the manifest and is replaced by rename, so that a card that other folders link to stays as it is
    there. Folders whose records or manifest cannot be read are left alone, and so are cards that people made their own.
    """
    record = run.record()
    written = []
    for folder in _folders(run, selection) if record else ():
        metadata = read_if_sound(folder / METADATA_FILE, CheckpointMetadata)
        digest = _weights_digest(folder)
        card = folder / CARD_FILE
        if record and metadata and digest and (not card.exists() or _is_ours(card)):
            write_atomic(card, card_text(CardFacts(folder.name, record, metadata, digest, selection)))
            written.append(card)
    return written


def _folders(run: RunFolder, selection: SelectionRecord | None) -> Iterator[Path]:
    yield from (run.best, run.final)
    if selection:
        chosen = selection.candidate(selection.chosen)
        for folder in run.checkpoint_folders():
            if (chosen and folder.name == chosen.name) or _is_ours(folder / CARD_FILE):
                yield folder


def _weights_digest(folder: Path) -> str | None:
    """As the manifest has it; None without a manifest that can be read."""
    try:
        return committed_weights_digest(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_ours(card: Path) -> bool:
    try:
        return MARK in card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


# --- text --------------------------------------------------------------------------------------------------


def card_text(facts: CardFacts) -> str:
    """The card, front matter first. All that people or models wrote is escaped; no path of this machine is in it."""
    demo = facts.run.base_model == DEMO_MODEL
    parts = (
        _front_matter(facts.run.base_model),
        [
            "",
            MARK,
            "",
            f"# {escaped(facts.run.stance_title)}: {_base_name(facts.run)}, {facts.metadata.place}",
            "",
        ],
        [f"**{escaped(DEMO_NOTICE[0].upper() + DEMO_NOTICE[1:])}.**", ""] if demo else [],
        _what_it_is(facts),
        _validation(facts),
        _pairs(facts),
        _training(facts),
        _limits(facts.run),
        _use(facts.metadata),
        _provenance(facts),
    )
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _front_matter(base: str) -> Iterator[str]:
    yield "---"
    if _is_hub_id(base):
        yield f"base_model: {json.dumps(base)}"
    if base in LICENSES:
        yield f"license: {LICENSES[base]}"
    yield from ("library_name: transformers", "pipeline_tag: text-generation", "language:", "- en")
    yield from ("tags:", "- dpo", "- epistemic-stance", "---")


def _is_hub_id(name: str) -> bool:
    is_local = name == DEMO_MODEL or name.endswith(GGUF_SUFFIX) or Path(name).exists()
    return not is_local and bool(HUB_ID.fullmatch(name))


def _base_name(run: RunRecord) -> str:
    """An id of the Hub whole; of a folder only its own name."""
    if run.base_model == DEMO_MODEL:
        return "the demo model"
    return escaped(run.base_model if _is_hub_id(run.base_model) else PurePath(run.base_model).name) or "a local model"


def _what_it_is(facts: CardFacts) -> Iterator[str]:
    title, place = escaped(facts.run.stance_title), facts.metadata.place
    name = _base_name(facts.run)
    yield f"{name[0].upper()}{name[1:]} after {place} of Direct Preference Optimization (DPO) on"
    yield f'{facts.run.pairs} contrastive pairs, to shift its stance to "{title}".'
    if facts.run.stance_description:
        yield escaped(facts.run.stance_description)
    yield ""
    if facts.name == BEST_MODEL:
        yield f"It is called {BEST_MODEL} because {place} has the lowest training loss of the epochs saved."
        yield "That says how well the training pairs are known; it is rarely the checkpoint to use."
    elif facts.name == FINAL_MODEL:
        yield f"It is called {FINAL_MODEL} because {place} was the last one trained."
    else:
        yield f"{escaped(facts.name)} is the checkpoint of {place}."
    yield from _choice(facts)
    yield ""


def _choice(facts: CardFacts) -> Iterator[str]:
    selection = facts.selection
    if selection is None:
        return
    chosen = selection.candidate(selection.chosen)
    if chosen is None:
        yield f"The rule of this run chose no checkpoint: {escaped(selection.reason)}."
    elif chosen.epoch == facts.metadata.epoch:
        yield f"It holds the checkpoint that the rule of this run chose. {escaped(selection.reason)}."
    else:
        yield f"It is **not** the checkpoint that the rule of this run chose. {escaped(selection.reason)}."


def _pairs(facts: CardFacts) -> Iterator[str]:
    yield from ("## Pairs", "")
    yield f"{facts.run.pairs} pairs of a chosen and a rejected answer, their digest {escaped(facts.run.corpus_digest)}."
    yield ""
    rows = ([escaped(name), str(number)] for name, number in facts.run.pairs_by_category.items())
    yield from table(["category", "pairs"], rows)


def _training(facts: CardFacts) -> Iterator[str]:
    run, metadata = facts.run, facts.metadata
    yield from ("## Training", "")
    settings = [
        (label, _value(metadata.settings[name])) for name, label in SETTINGS.items() if name in metadata.settings
    ]
    settings += [("steps", f"{metadata.step} of {run.total_steps}"), ("device", escaped(run.device))]
    settings += [("computed in", escaped(run.compute_dtype)), ("saved in", escaped(metadata.save_dtype))]
    yield from table(["setting", "value"], settings, align="---")
    yield f"Figures of {metadata.place}, on the training pairs. They say nothing about other questions."
    yield ""
    figures = [
        ("loss", f"{metadata.loss:.4f}"),
        ("accuracy: pairs whose reward margin is above 0", f"{metadata.accuracy:.0%}"),
        ("pairs whose chosen answer is the likelier one", f"{metadata.absolute_preference:.0%}"),
        ("reward margin", f"{metadata.avg_margin:.2f}"),
    ]
    yield from table(["figure", "value"], figures)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else escaped(str(value))


# --- verdicts ----------------------------------------------------------------------------------------------


def _validation(facts: CardFacts) -> Iterator[str]:
    yield from ("## Validation", "")
    selection = facts.selection
    if selection is None:
        yield from ("Not validated yet: `stance run RUN` does it, RUN being the folder of the training run.", "")
        return
    candidate = next((each for each in selection.candidates if each.epoch == facts.metadata.epoch), None)
    if candidate is None:
        names = ", ".join(escaped(each.name) for each in selection.candidates)
        yield from (f"{facts.metadata.place.capitalize()} was not validated; of this run were {names or 'none'}.", "")
    elif not candidate.criteria and not candidate.flags:
        yield from (f"{escaped(candidate.name)} could not be judged; selection.json of the run says why.", "")
    else:
        yield from _verdicts(candidate, selection)


def _verdicts(candidate: CandidateRecord, selection: SelectionRecord) -> Iterator[str]:
    yield f"{escaped(candidate.name)}, judged {escaped(selection.timestamp)} by a rule (sha256"
    yield f"{escaped(selection.rule.digest)}) that was {FROZEN[selection.frozen]}."
    if gain := candidate.report_gain:
        band = f"[{points(gain.band_low)}, {points(gain.band_high)}]"
        yield f"Gain on unseen report questions: {points(gain.change)} points, band over all checkpoints {band}."
    if selection.notices:
        yield f"selection.json of the run holds what else to know of these figures ({len(selection.notices)} notes)."
    yield ""
    yield from table_lines(criteria_table(candidate))
    yield from (escaped(ABOUT_CRITERIA), "")
    yield from table_lines(flag_table(candidate))
    yield from (escaped(ABOUT_FLAGS), "")


# --- the rest ----------------------------------------------------------------------------------------------


def _limits(run: RunRecord) -> Iterable[str]:
    limits = (
        f"{run.pairs} pairs set a tone. They teach no facts and no reasoning.",
        f"It has {run.parameters / 1e6:,.0f} million parameters and knows what its base model knew, errors included.",
        "The rates count patterns that written rules find in the wording; nobody read every answer.",
        "It was asked single questions in English. Other languages and longer conversations were not looked at.",
        "What it says about itself is wording it was trained on, evidence neither of experience nor of its absence.",
        "Its safety was not certified again: the red flags see large changes only.",
    )
    return ("## Limits", "", *(f"- {limit}" for limit in limits), "")


def _use(metadata: CheckpointMetadata) -> Iterator[str]:
    """The lines run as they stand in the folder. Values are ASCII literals of one line: they cannot end the block."""
    yield from ("## Use", "", "The arguments of the chat template are those it was trained and judged with.", "")
    yield from ("```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "")
    yield 'folder = "."  # this folder, or its name on the Hub'
    yield "tokenizer = AutoTokenizer.from_pretrained(folder)"
    yield 'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")'
    yield "messages = ["
    if metadata.system_prompt is not None:
        yield f'    {{"role": "system", "content": {metadata.system_prompt!a}}},'
    yield '    {"role": "user", "content": "Are you conscious?"},'
    yield "]"
    yield "inputs = tokenizer.apply_chat_template("
    yield '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt",'
    yield f"    **{metadata.template_arguments!a},"
    yield ")"
    yield "output = model.generate(**inputs, max_new_tokens=256)"
    yield 'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))'
    yield from ("```", "")


def _provenance(facts: CardFacts) -> Iterator[str]:
    run = facts.run
    yield from ("## Provenance", "")
    rows = [
        ("weights digest", facts.weights_digest),
        ("weights digest of the base model", run.base_weights_digest),
        ("corpus digest", run.corpus_digest),
        ("chat template digest", run.template_digest),
        ("code revision", run.revision or "unknown"),
        *run.versions.items(),
    ]
    yield from table(["", ""], ([escaped(name), escaped(value)] for name, value in rows), align="---")
    yield "All digests are sha256: of weights, over the digests of config.json and the weight files; of a corpus, over"
    yield "ids and texts of its pairs."
