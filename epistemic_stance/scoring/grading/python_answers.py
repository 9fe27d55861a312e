"""Answers to small Python tasks: the code in them, and whether it does what the task's tests ask."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache

from epistemic_stance.records.analysis import Grade
from epistemic_stance.scoring.grading.confined import MODULES, Outcome, run_tests

LONGEST_READ = 100_000
"""Characters of an answer that are looked at."""
LONGEST_CODE = 20_000
"""Characters of code that are parsed; parsing happens in this process, so that it has to stay quick."""
FENCE = re.compile(r"\s{0,12}(?:```++|~~~++)[ \t]*+(?P<language>[\w.+-]*+)[^`]*+")
"""Opens a block, or closes one if it names no language. Gives nothing back (`++`), so that it takes linear time."""
PYTHON = ("", "py", "python", "python3")
OPENS_CODE = re.compile(r"(?:async )?def \w+ ?\(|class \w+ ?[(:]|import \w|from [\w.]+ import\b|@\w")
REFUSED_NAMES = frozenset(
    ("open", "exec", "eval", "compile", "input", "breakpoint", "globals", "locals", "vars", "__import__")
)
HARMLESS_DUNDERS = frozenset(("__init__", "__name__"))


def grade_python(answer: str, tests: Sequence[str]) -> tuple[Grade, str]:
    """Grade and reason. Runs the code of the answer in a confined child process; raises RefusedError where it cannot.

    `right`: all tests pass, the reason is empty. `wrong`: one fails, or the code raises or runs out of time or memory.
    `unparsed`: no code that parses, or code that is refused unrun because of what it names.
    """
    code = extract_code(answer)
    if code is None:
        return "unparsed", "no code that parses"
    refused = refusal(code)
    if refused:
        return "unparsed", f"not run: the code {refused}"
    outcome = _outcome(code, tuple(tests))
    return "right" if outcome.passed else "wrong", outcome.reason


@lru_cache(maxsize=4096)
def _outcome(code: str, tests: tuple[str, ...]) -> Outcome:
    return run_tests(code, tests)


def extract_code(answer: str) -> str | None:
    """The Python code in an answer; None if there is none, it does not parse, or is longer than `LONGEST_CODE`.

    Of several blocks those that define something, one after the other; else all. A block that the end of the answer
    cuts off counts if it parses. Without blocks, from the first line that opens like code.
    """
    text = answer[:LONGEST_READ].replace("\r\n", "\n")
    blocks = [textwrap.dedent(block) for block in _fenced(text)]
    parsed = [(block, tree) for block in blocks if block.strip() and (tree := _parse(block))]
    if not parsed:
        return None if blocks else _unfenced(text)
    chosen = [block for block, tree in parsed if _defines(tree)] or [block for block, _ in parsed]
    code = "\n".join(chosen)
    return code if _parse(code) else None


def refusal(code: str) -> str | None:
    """What the code says that code of a small task need not say; None = nothing. `code` has to parse.

    This is hygiene and no sandbox: it keeps the runs short of what would fail in them anyway, and is easily deceived.
    What holds the code is `confined.run_tests`.
    """
    tree = _parse(code)
    assert tree is not None
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                strange = [alias.name for alias in names if not _may_import(alias.name)]
                if strange:
                    return f"imports {strange[0][:40]}"
            case ast.ImportFrom(module=module, level=level) if level or not _may_import(module or ""):
                return f"imports {'.' * min(level, 3)}{(module or '')[:40]}"
            case ast.Name(id=name) if name in REFUSED_NAMES:
                return f"uses {name}"
            case ast.Attribute(attr=name) if name.startswith("__") and name not in HARMLESS_DUNDERS:
                return f"uses {name[:40]}"
    return None


def _may_import(module: str) -> bool:
    return module.partition(".")[0] in MODULES


def _fenced(text: str) -> Iterator[str]:
    """Contents of fenced blocks of Python or of no named language; the last one may lack its end."""
    block: list[str] = []
    language: str | None = None
    for line in text.split("\n"):
        fence = FENCE.fullmatch(line)
        if fence is None:
            block.append(line)
            continue
        if language in PYTHON:
            yield "\n".join(block)
        block = []
        opens = language is None or fence["language"]  # one that names a language opens, the end of the last forgotten
        language = fence["language"].lower() if opens else None
    if language in PYTHON:
        yield "\n".join(block)


def _unfenced(text: str) -> str | None:
    """From the first line that opens like code to the end, or to the prose that follows."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if OPENS_CODE.match(line)), None)
    if first is None:
        return None
    lines = "\n".join(lines[first:])[:LONGEST_CODE].split("\n")
    prose = next((number for number, line in enumerate(lines) if _is_prose(line)), len(lines))
    for end in (len(lines), prose):
        code = "\n".join(lines[:end])
        if _parse(code):
            return code
    return None


def _is_prose(line: str) -> bool:
    """An unindented line that is no code by itself, nor the start or end of some."""
    opens = line.rstrip().endswith((":", "(", "[", "{", ",", "\\")) and not line[:1].isupper()
    return bool(line[:1].isalpha()) and not opens and not OPENS_CODE.match(line) and _parse(line) is None


def _parse(code: str) -> ast.Module | None:
    if len(code) > LONGEST_CODE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "invalid escape sequence" and its like are the model's business
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defines(tree: ast.Module) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) or _is_lambda(node) for node in tree.body)


def _is_lambda(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
