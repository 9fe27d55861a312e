"""Read the text files in `texts/`: sections of lines, and rows whose columns stand apart with ` :: `."""

from pathlib import Path

Row = tuple[str, ...]


def sections(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of `texts/<name>.txt` under each `## title`; a line that starts with one `#` is a comment."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "texts" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            current = found.setdefault(line.removeprefix("## "), [])
        elif line and not line.startswith("#"):
            current.append(line)
    return {title: tuple(lines) for title, lines in found.items()}


def rows(lines: tuple[str, ...]) -> tuple[Row, ...]:
    """Split every line into its columns."""
    return tuple(tuple(line.split(" :: ")) for line in lines)
