"""The part of an answer that a rule matched, with some of what stands around it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from epistemic_stance.foundation.terminal import plain
from epistemic_stance.report.markdown import escaped


@dataclass(frozen=True)
class Excerpt:
    """Three pieces on one line; the middle one is what the rule matched."""

    before: str
    match: str
    after: str

    def styled(self, style: str) -> Text:
        return Text.assemble(plain(self.before), plain(self.match, style), plain(self.after))

    def bold(self) -> str:
        """Markdown."""
        before, match, after = (escaped(piece) for piece in (self.before, self.match, self.after))
        left = " " if self.before.endswith(" ") else ""
        right = " " if self.after.startswith(" ") else ""
        return f"{before}{left}**{match}**{right}{after}"


def excerpt_of(text: str, match: tuple[int, int], around: int) -> Excerpt:
    """The match (first character and the one after the last) and up to `around` on each side, cut between words."""
    start, end = match
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    before, after = _one_line(text[:start]), _one_line(text[end:])
    if len(before) > around:
        before = "... " + before[-around:].partition(" ")[2]
    if len(after) > around:
        after = after[:around].rpartition(" ")[0] + " ..."
    return Excerpt(before, _one_line(text[start:end]), after)


def _one_line(text: str) -> str:
    """White space as single spaces; one at either end stays."""
    middle = " ".join(text.split())
    left = " " if text[:1].isspace() else ""
    right = " " if text[-1:].isspace() and middle else ""
    return f"{left}{middle}{right}"
