"""Text from a corpus or a model, made safe to print: it may hold terminal escapes or reversed writing."""

from __future__ import annotations

MAX_SHOWN = 60


def printable(text: str) -> str:
    """`text` on one line with control characters, bidi overrides and other invisible characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, limit: int = MAX_SHOWN) -> str:
    """`printable` text of at most `limit` characters; what was left out shows as `...`."""
    shown = printable(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
