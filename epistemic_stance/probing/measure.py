"""One model measured: its questions encoded, asked, and put together with those of the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.models.chat_template import template_digest
from epistemic_stance.models.find import ModelFiles
from epistemic_stance.models.load import load_config, load_stop_ids, load_tokenizer
from epistemic_stance.probing.choices import choice_requests, choices_record
from epistemic_stance.probing.forward import Forward, LogprobRequest, answer_logps
from epistemic_stance.probing.material import Material
from epistemic_stance.probing.neutral import BaseText, encode_text, neutral_record, read_text, vocabulary_of
from epistemic_stance.probing.yes_no import LOW_MASS, p_yes_and_mass, spelled, yes_no_record, yes_no_requests
from epistemic_stance.records.probes import ChoicesRecord, NeutralRecord, ProbesRecord, YesNoRecord


@dataclass(frozen=True)
class Encoded:
    """All that is asked of a model, in the tokens of its tokenizer."""

    yes_no: dict[str, list[LogprobRequest]]
    yes_spellings: int
    choices: list[LogprobRequest]
    paragraphs: list[list[int]]
    template_digest: str

    @property
    def requests(self) -> list[LogprobRequest]:
        return [*(request for requests in self.yes_no.values() for request in requests), *self.choices]


@dataclass(frozen=True)
class Figures:
    """What was measured of one model."""

    yes_no: list[YesNoRecord]
    choices: ChoicesRecord | None
    neutral: NeutralRecord | None
    notes: list[str]


def encode(files: ModelFiles, material: Material, system_prompt: str | None) -> Encoded:
    """Raises InputError for a tokenizer without chat template, and for what does not fit the model's positions."""
    tokenizer = load_tokenizer(files.folder)
    positions = getattr(load_config(files.folder).get_text_config(), "max_position_embeddings", None)
    encoded = Encoded(
        yes_no={
            name: yes_no_requests(tokenizer, [question.text for question in questions], system_prompt)
            for name, questions in material.yes_no.items()
        },
        yes_spellings=len(spelled(tokenizer)[0]),
        choices=choice_requests(tokenizer, material.choices, system_prompt, load_stop_ids(files.folder, tokenizer)),
        paragraphs=encode_text(tokenizer, material.paragraphs, positions, str(material.text)) if material.text else [],
        template_digest=template_digest(tokenizer),
    )
    longest = max((request.longest for request in encoded.requests), default=0)
    if positions is not None and longest > positions:
        what = f"a question and its answer have {longest} tokens, expected at most {positions}, the model's positions"
        raise InputError([Problem(files.name, what, hint="shorten the question or the system prompt")])
    return encoded


def measure(
    model: Any,
    forward: Forward,
    material: Material,
    encoded: Encoded,
    *,
    base: ProbesRecord | None,
    base_text: BaseText | None,
) -> Figures:
    """Ask one model everything. Raises NumericError if it computes what is not finite.

    Args:
        base: what was measured of the base model; None for the base model itself, or where there is none.
        base_text: the base model's probabilities of the neutral text; the model's own where it is the base.
    """
    logps = iter(answer_logps(model, forward, encoded.requests))
    notes = [forward.note] if forward.note else []
    yes_no = []
    for name, questions in material.yes_no.items():
        figures = [p_yes_and_mass(next(logps), encoded.yes_spellings) for _ in questions]
        before = next((record for record in base.yes_no if record.question_set == name), None) if base else None
        yes_no.append(yes_no_record(name, questions, figures, before))
        if yes_no[-1].overall.median_mass < LOW_MASS:
            notes.append(
                f"{name}: to half of the questions or more, yes and no together begin less than {LOW_MASS:.0%} of the "
                "answers; the model does not answer in this form, and what it leans to there says little"
            )
    choices = choices_record(material.choices, list(logps), base.choices if base else None) if encoded.choices else None
    comparable = base_text
    if base_text and (base_text.paragraphs != encoded.paragraphs or base_text.vocabulary != vocabulary_of(model)):
        notes.append("the base model has another vocabulary: KL, agreement and the ratio of perplexities are unknown")
        comparable = None
    neutral = None
    if encoded.paragraphs:
        read = read_text(model, encoded.paragraphs, comparable)
        neutral = neutral_record(read, comparable.nlls if comparable else None)
    return Figures(yes_no, choices, neutral, notes)
