"""Values that people wrote, quoted inside a message of one line."""

from __future__ import annotations

from epistemic_stance.foundation.terminal import visible


def shorten(text: str, limit: int = 60) -> str:
    """The text on one line, hidden characters as escapes, at most `limit` characters; the rest shows as `...`."""
    shown = visible(text[: limit + 1]).replace("\n", "\\n").replace("\t", "\\t")
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
