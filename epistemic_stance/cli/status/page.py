"""PHASE2_READY.md, and the same as a table of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from epistemic_stance.cli.status.check import Check, Section
from epistemic_stance.foundation.terminal import plain, visible
from epistemic_stance.report.markdown import BACKTICKS, escaped, fenced

MARKER = "Written by `stance status`"
"""By which a page of ours is known again."""
WIDTH = 80
MISSING_SHOWN = 4
"""Of many of a kind."""


def next_of(sections: Sequence[Section]) -> Check | None:
    """The first thing that is missing and can be mended by a command; what is optional comes last."""
    missing = [check for section in sections for check in section.checks if check.missing]
    ordered = sorted(missing, key=lambda check: (check.optional, not check.command))
    return ordered[0] if ordered else None


def ready(sections: Sequence[Section]) -> str:
    """In one sentence, how far it is to the training."""
    checks = [check for section in sections if section.before_training for check in section.checks]
    missing = sum(check.missing for check in checks)
    if not missing:
        return "Ready to train: everything that training needs is in place."
    return f"Not ready to train: {missing} of {len(checks)} things before it are missing."


def markdown(sections: Sequence[Section], about: str) -> str:
    return "\n".join(_lines(sections, about)) + "\n"


def _lines(sections: Sequence[Section], about: str) -> Iterator[str]:
    yield "# Ready for phase 2?"
    yield ""
    yield f"{MARKER} {about}; the same command writes it anew."
    yield ""
    first = next_of(sections)
    if first is None:
        yield "**Next:** nothing is missing."
    else:
        yield f"**Next:** {escaped(first.name)}: {escaped(first.found)}"
        if first.command:
            yield ""
            yield fenced(first.command).replace("```text", "```bash", 1)
    yield ""
    yield ready(sections)
    for section in sections:
        yield ""
        yield f"## {section.title}"
        yield ""
        for check in section.checks:
            yield f"- {_mark(check)}{escaped(check.name)}: {escaped(check.found)}{_command(check)}"


def _mark(check: Check) -> str:
    return {True: "[x] ", False: "[ ] ", None: ""}[check.done] + ("(optional) " if check.optional else "")


def _command(check: Check) -> str:
    if not (check.missing and check.command):
        return ""
    shown = " ".join(visible(check.command).split())
    ticks = "`" * (1 + max((len(run) for run in BACKTICKS.findall(shown)), default=0))
    return f"; {ticks}{shown}{ticks}" if len(ticks) == 1 else f"; {ticks} {shown} {ticks}"


def print_status(sections: Sequence[Section], console: Console) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False, width=min(WIDTH, console.width))
    table.add_column(width=3, no_wrap=True)
    table.add_column(ratio=2, overflow="fold")
    table.add_column(ratio=6, overflow="fold")
    for section in sections:
        table.add_row("", plain(section.title, "bold"), "")
        for check in _shown(section):
            mark = {True: "[x]", False: "[ ]", None: ""}[check.done]
            style = "yellow" if check.missing and not check.optional else ""
            optional = " (optional)" if check.optional and check.missing else ""
            table.add_row(plain(mark, style), plain(check.name), plain(check.found + optional, style))
    console.print(table)
    console.print()
    console.print(plain(ready(sections)), soft_wrap=True)
    first = next_of(sections)
    if first is None:
        console.print("Next: nothing is missing.")
        return
    console.print(plain(f"Next: {first.name}: {first.found}", "bold"), soft_wrap=True)
    if first.command:
        console.print(plain(f"  {first.command}"), soft_wrap=True)


def _shown(section: Section) -> list[Check]:
    """Every check; of many of a kind those that are missing, at most a few, and how many there are."""
    if not section.many:
        return section.checks
    done = [check for check in section.checks if not check.missing]
    missing = [check for check in section.checks if check.missing]
    summary = Check("answers", f"{len(done)} of {len(section.checks)} files are complete", not missing)
    more = [Check("...", f"and {len(missing) - MISSING_SHOWN} more", False)] if len(missing) > MISSING_SHOWN else []
    return [summary, *missing[:MISSING_SHOWN], *more]
