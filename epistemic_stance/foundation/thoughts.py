"""What a reasoning model thinks before it answers, told from its answer. Only the answer is scored."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_thought(text: str, *, opened: bool = False) -> tuple[str, str]:
    """The answer, and the thought before it ("" = none), both without white space around them.

    A thought that is not closed leaves no answer after it.

    Args:
        opened: whether the prompt ended inside a thought, as some chat templates let it.
    """
    thought, closed, answer = text.rpartition(CLOSE)
    if closed:
        return answer.strip(), thought.strip().removeprefix(OPEN).strip()
    if opened:
        return "", text.strip()
    before, begun, thought = text.partition(OPEN)
    return before.strip(), thought.strip() if begun else ""
