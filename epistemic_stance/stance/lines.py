"""Pairs as lines of {"prompt", "chosen", "rejected"}, the form of the Hugging Face ecosystem."""

from __future__ import annotations

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.json_positions import JsonDocument, parse_json
from epistemic_stance.foundation.schema_errors import validated
from epistemic_stance.records import Identifier
from epistemic_stance.records.written import Message, PreferenceLine
from epistemic_stance.stance.pairs import Messages, Pair

UNCATEGORISED = "uncategorised"

PROMPT_COLUMNS = {
    "system": 'write it as the first message of the prompt, {"role": "system", ...}',
    "system_prompt": 'write it as the first message of the prompt, {"role": "system", ...}',
    "history": "write the turns before the question as messages of the prompt",
    "images": "pairs are text alone; leave the column out",
    "documents": "write them into the question, or leave the column out",
    "tools": "pairs with tools are not trained; leave the column out",
    "chat_template_kwargs": "the template is always used without arguments of a pair; leave the column out",
}
"""Columns of other trainers that change a prompt, and what to do instead."""


class LabelledLine(PreferenceLine):
    """A preference line with the two labels that our own tools read if they are there."""

    id: Identifier | None = None
    category: Identifier = UNCATEGORISED


def pairs_of_lines(text: str, where: str) -> list[Pair]:
    """Raises InputError with every problem of every line."""
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                pairs.append(_pair_of_line(parse_json(line, where, number), number))
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    return pairs


def _pair_of_line(document: JsonDocument, number: int) -> Pair:
    record = validated(LabelledLine, document)
    _refuse_unread(document, number)
    prompt: str | Messages
    match record.prompt, record.chosen, record.rejected:
        case str(), str(), str():
            # As written, not as stripped: in raw text the space before an answer is part of its first token.
            prompt, chosen, rejected = (document.value[name] for name in ("prompt", "chosen", "rejected"))
        case [*messages], [Message() as good], [Message() as bad]:
            roles = [(f"prompt[{len(messages) - 1}].role", messages[-1].role, "user")]
            roles += [("chosen[0].role", good.role, "assistant"), ("rejected[0].role", bad.role, "assistant")]
            wrong = [
                Problem(document.where, f"expected {expected}, found {role}", number, name)
                for name, role, expected in roles
                if role != expected
            ]
            if wrong:
                raise InputError(wrong)
            prompt = [{"role": message.role, "content": message.content} for message in messages]
            chosen, rejected = good.content, bad.content
        case _:
            what = "prompt, chosen and rejected are neither all text nor all lists of messages"
            raise InputError([Problem(document.where, what, number, hint="write the three in one form")])
    where = f"{document.where}:{number}"
    unread = tuple(sorted(set(document.value) - set(LabelledLine.model_fields) - PROMPT_COLUMNS.keys()))
    return Pair(record.id or f"line_{number:04d}", record.category, prompt, chosen, rejected, where, unread)


def _refuse_unread(document: JsonDocument, number: int) -> None:
    """Raises InputError for columns that would change the prompt, if anything stands in them."""
    given = [name for name in PROMPT_COLUMNS if document.value.get(name)]
    if given:
        problems = [
            Problem(document.where, "is not read, and would change the prompt", number, name, PROMPT_COLUMNS[name])
            for name in given
        ]
        raise InputError(problems)
