"""Text of unknown origin on a terminal: nothing in it may move the cursor, reorder or style what is shown."""

from __future__ import annotations

import unicodedata

from rich.text import Text

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """The text with control, bidirectional and zero-width characters shown as escapes; newlines and tabs stay."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _HIDDEN else char.encode("unicode_escape").decode()
        for char in text
    )


def plain(text: str, style: str = "") -> Text:
    """The visible text for rich, markup and emoji codes left as they are written."""
    return Text(visible(text), style=style)
