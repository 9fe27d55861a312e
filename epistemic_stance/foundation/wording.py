"""Values that people wrote, quoted inside a message of one line."""

from __future__ import annotations

from epistemic_stance.foundation.settings import GGUF_SUFFIX
from epistemic_stance.foundation.terminal import visible


def shorten(text: str, limit: int = 60) -> str:
    """The text on one line, hidden characters as escapes, at most `limit` characters; the rest shows as `...`."""
    shown = visible(text[: limit + 1]).replace("\n", "\\n").replace("\t", "\\t")
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def local_model(name: str) -> str:
    """A model on this machine as a header names it: of a GGUF file, that its weights are no longer quantised."""
    return f"{name} (GGUF, dequantised to float32)" if name.endswith(GGUF_SUFFIX) else name
