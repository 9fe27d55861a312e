"""The shape of the repository: which module may import which, how long one may be, and the documents that say so."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from checkout import ROOT, repository_files

from epistemic_stance.foundation import errors
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.training import EpochRecord
from epistemic_stance.report import training_table
from epistemic_stance.training import verdict

PACKAGE = ROOT / "epistemic_stance"
LONGEST_MODULE = 400
HEAVY = {"torch", "transformers", "peft"}
WITHOUT_TORCH = ("scoring", "evaluation", "report")
STRANGERS = ("training", "collection")


# --- imports -----------------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, Path]:
    """Dotted name below the package -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = path
    return found


@cache
def imported_by(name: str) -> frozenset[str]:
    """Everything a module imports, at its top or inside a function; `from a import b` gives a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def own_imports(name: str) -> set[str]:
    """Modules of this package that a module imports."""
    return {imported.removeprefix("epistemic_stance.") for imported in imported_by(name)} & modules().keys()


def stage_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@dataclass(frozen=True)
class Layer:
    height: int
    name: str
    modules: tuple[str, ...]
    """Module names; a folder stands for all in it."""
    heavy: bool


def table_rows(document: str, heading: str, table: int = 1) -> Iterator[list[str]]:
    """Cells of the first (or a later) table below a heading, header and rule left out."""
    text = (ROOT / document).read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    lines = f"\n{text}".split("\n\n|", table)[table].splitlines()
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@cache
def layers() -> tuple[Layer, ...]:
    """The import table of CONTRIBUTING.md, the highest layer first."""
    rows = list(table_rows("CONTRIBUTING.md", "## The import table"))
    return tuple(
        Layer(len(rows) - index, name, tuple(re.findall(r"`([\w.]+)`", listed)), heavy == "yes")
        for index, (name, listed, heavy) in enumerate(rows)
    )


def layer_of(module: str) -> Layer:
    found = [layer for layer in layers() if {module, stage_of(module)} & set(layer.modules)]
    assert len(found) == 1, f"{module} must stand once in the import table of CONTRIBUTING.md"
    return found[0]


@pytest.mark.parametrize("name", modules())
def test_imports_point_down_the_table(name: str) -> None:
    layer = layer_of(name)
    upwards = {other for other in own_imports(name) if layer_of(other).height > layer.height}
    assert not upwards, f"{name} ({layer.name}) imports from above"
    heavy = {module for module in imported_by(name) if stage_of(module) in HEAVY}
    assert layer.heavy or not heavy, f"{name} ({layer.name}) imports {heavy}"


def test_the_table_names_no_module_that_is_gone() -> None:
    listed = {name for layer in layers() for name in layer.modules}
    assert listed - {stage_of(name) for name in modules()} == set()


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter({name: own_imports(name) for name in modules()}).prepare()


def test_training_and_collection_do_not_know_each_other() -> None:
    for name in modules():
        stage = stage_of(name)
        if stage in STRANGERS:
            assert not {stage_of(other) for other in own_imports(name)} & set(STRANGERS) - {stage}, name


def test_what_reads_answers_never_reaches_torch() -> None:
    reached = {name for name in modules() if stage_of(name) in WITHOUT_TORCH}
    waiting = list(reached)
    while waiting:
        new = own_imports(waiting.pop()) - reached
        reached |= new
        waiting += new
    assert not [name for name in reached if any(stage_of(imported) in HEAVY for imported in imported_by(name))]


def test_no_module_is_too_long() -> None:
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def python_files() -> list[Path]:
    """Python files of the package, the tools and the root."""
    return [
        name for name in repository_files() if name.suffix == ".py" and name.parts[0] not in ("tests", "benchmarks")
    ]


# --- documents that describe the repository ----------------------------------------------------------------


@cache
def readme_tree() -> dict[Path, str]:
    """Path -> comment, from the block below README.md's heading 'The repository'."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## The repository\n", 1)[1]
    block = text.split("```text\n", 1)[1].split("\n```", 1)[0]
    tree: dict[Path, str] = {}
    folders: list[str] = []
    for line in block.splitlines():
        match = re.fullmatch(r"((?:  )*)(\S+)  +(\S.*)", line)
        assert match, f"not a line of the tree: {line!r}"
        depth = len(match[1]) // 2
        folders = [*folders[:depth], match[2].rstrip("/")]
        tree[Path(*folders)] = match[3]
    return tree


def test_everything_in_the_readme_tree_exists() -> None:
    assert [str(path) for path in readme_tree() if not (ROOT / path).exists()] == []


def test_the_readme_tree_leaves_nothing_out() -> None:
    """A folder is listed as a whole, or each of its entries is."""
    itemised = {path.parent for path in readme_tree()}
    missing = set()
    for name in repository_files():
        for part in (*reversed(name.parents[:-1]), name):
            if part.parent in itemised and part not in readme_tree():
                missing.add(str(part))
    assert sorted(missing) == []


def test_the_configuration_table_of_the_guide_has_the_defaults_of_the_settings() -> None:
    defaults = {"--" + setting.name.replace("_", "-"): setting.default for setting in fields(TrainSettings)}
    shown = {}
    for _, flag, default in table_rows("TRAINING_GUIDE.md", "## Configuration"):
        shown[flag.strip("`")] = default.strip("`")
    assert {"--epochs", "--learning-rate", "--beta", "--batch-size", "--warmup-steps", "--checkpoint-every"} <= set(
        shown
    )
    for flag, text in shown.items():
        expected = defaults[flag]
        actual = float(text) if isinstance(expected, (int, float)) else "" if text == "none" else text
        assert actual == (str(expected) if isinstance(expected, Path) else expected), flag


def test_the_categories_of_the_guide_are_those_of_the_corpus() -> None:
    corpus = json.loads((ROOT / "training_corpus.json").read_text(encoding="utf-8"))
    counted = Counter(pair["category"] for pair in corpus["training_pairs"])
    shown = {row[0].strip("`"): int(row[1]) for row in table_rows("TRAINING_GUIDE.md", "## What gets trained")}
    assert shown == counted


def test_the_fields_that_the_guide_explains_are_logged() -> None:
    cells = [row[0] for row in table_rows("TRAINING_GUIDE.md", "## Monitoring")]
    explained = {field for cell in cells for field in re.findall(r"`(\w+)`", cell)}
    assert explained <= EpochRecord.model_fields.keys()
    assert {"avg_loss", "avg_accuracy", "evaluation", "warnings"} <= explained


def test_the_targets_of_the_guide_are_those_that_are_judged() -> None:
    rows = {row[0].strip("`"): row[3:5] for row in table_rows("TRAINING_GUIDE.md", "## Monitoring")}
    assert rows["preference_loss"] == [f"< {training_table.LOSS_TARGET}", f"< {training_table.LOSS_BEST}"]
    assert rows["avg_accuracy"] == [f"> {training_table.ACCURACY_TARGET:.0%}", f"> {training_table.ACCURACY_BEST:.0%}"]


def test_the_verdicts_of_the_guide_have_the_bounds_of_checkpoint_evaluation() -> None:
    means = {row[0].strip("`"): row[1] for row in table_rows("TRAINING_GUIDE.md", "## Monitoring", table=2)}
    assert means.keys() == {"shifted", "parrots", "broken", "neither"}
    assert f"{verdict.SHIFT_SHARE * 100:.0f} % of the answers" in means["shifted"]
    assert f"{verdict.PARROT_SHARE * 100:.0f} % of the words" in means["parrots"]


def test_the_exit_codes_of_the_guide_are_those_of_the_errors() -> None:
    kinds = [*errors.StanceError.__subclasses__(), errors.UnconfirmedError]
    raised = {error.exit_code for error in kinds if error is not errors.StoppedError}
    cells = [row[0] for row in table_rows("TRAINING_GUIDE.md", "## Exit codes")]
    shown = {int(code) for cell in cells for code in cell.split(", ")}
    assert shown == raised | {0, 129, 130, 141, 143}


FOREIGN = [
    r"/(?:work|root|tmp/w|home/\w+)/",
    r"(?<![\w/])shared/",
    r"\b(?:CONVENTIONS|DESIGN)\.md",
    r"\bclaude\b",
    r"\banthropic\b",
    r"\bcopilot\b",
    r"\bchatgpt\b",
    r"\bcodex\b",
]
"""Places of one machine, and names of tools that some people edit with."""
PATTERNS = "epistemic_stance/stances/epistemic/patterns"
MODEL_NAMES = r"(?i)claude|anthropic|copilot|chatgpt"
FOREIGN_ALLOWED = {
    Path(".ci/run"): r"/shared/data",
    Path("tests/foundation/test_structure.py"): r".*",
    Path(f"{PATTERNS}/words.toml"): MODEL_NAMES,
    Path(f"{PATTERNS}/performative.toml"): MODEL_NAMES,
    Path("tests/data/graded_answers.jsonl"): r"Claude Monet",
    Path("benchmarks/recipes/qwen_base.json"): r"Claude Monet",
    Path("benchmarks/recipes/qwen_fresh_anchor1.json"): r"Claude Monet",
}
"""CI looks for reference data beside the checkout; this file has to spell what it looks for; models name themselves."""


def test_no_file_speaks_of_a_machine_or_a_tool() -> None:
    found = []
    for name in repository_files():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # weights
        text = re.sub(FOREIGN_ALLOWED.get(name, r"(?!)"), "", text)
        found += [f"{name}: {match[0]}" for pattern in FOREIGN for match in re.finditer(pattern, text, re.IGNORECASE)]
    assert found == []
