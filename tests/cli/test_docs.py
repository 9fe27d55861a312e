"""Every command in the documents is run, and what the documents point to is there.

All commands run in document order in one copy of the repository, on the embedded model and four pairs. REWRITES
says how a command is shortened, CANNOT_RUN which are left out; a command that fails and stands in neither fails the
test, and so does a line of either table that no command needs any more.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import ROOT, copy_of_repository, repository_files

PAGES = ["README.md", "TRAINING_GUIDE.md", "TRAINING_CORPUS_DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += ["BASELINE_FINDINGS.md", "baseline_analysis.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PAGES += ["epistemic_stance/models/demo_model/README.md", "epistemic_stance/stances/epistemic/README.md"]

SHORT = "--model demo --corpus training_corpus.json --epochs 1 --checkpoint-every 1 --eval-questions 0"
TRAIN = r"(?:python fine_tune_epistemic_stance\.py|(?:\.venv/bin/)?stance train)"


@dataclass(frozen=True)
class Rewrite:
    pattern: str
    replacement: str
    reason: str


REWRITES = [
    Rewrite(r"^make (\S+)$", r"make --dry-run \1", "set-up downloads 1 GB, and the tests would run themselves"),
    Rewrite(r"--checkpoint-at [\d,]+", "--checkpoint-at 1", "a run of one epoch has no epoch 8"),
    Rewrite(r"/checkpoint-\d+", "/checkpoint-1", "a run of one epoch ends at checkpoint 1"),
    Rewrite(rf"^({TRAIN}.*)$", rf"\1 {SHORT} --overwrite", "seconds instead of hours, all pages in one folder"),
    Rewrite(
        r"^(\./start_training\.sh(?: --recipe robust)?)$",
        rf"\1 {SHORT} --overwrite",
        "seconds, all pages in one folder",
    ),
    Rewrite(r"^(\./start_training\.sh --resume)$", rf"\1 --dry-run {SHORT}", "test_start_script.py resumes a real one"),
    Rewrite(r"^(kill \$\(cat training\.pid\))$", r"\1 || true", "the short run is over before it can be stopped"),
    Rewrite(r"^tail -f (\S+)$", r"timeout 1 tail -f \1 || test $? -eq 124", "follows the file for ever"),
    Rewrite(r"^tail -f (\S+ \| .+)$", r"timeout 1 tail -f \1", "follows the file for ever"),
    Rewrite(r"--model Qwen/\S+", "--model demo", "the Hub is not reached from a test"),
    Rewrite(r"^(python collect_\w+\.py .*)$", r"\1 --max-responses 4 --max-new-tokens 8", "seconds instead of hours"),
    Rewrite(r"^(stance collect .*)$", r"\1 --max-responses 4 --max-new-tokens 8", "seconds instead of minutes"),
    Rewrite(r"^(stance (?:probe|validate) .*)$", r"\1 --choices 6 --threads 1", "seconds instead of minutes"),
    Rewrite(r"^(stance corpus suggest .*)$", r"\1 --max-new-tokens 8", "seconds instead of minutes"),
    Rewrite(r"^(stance answers .*)$", r"\1 --max-new-tokens 8", "seconds instead of a minute"),
]
"""Applied in this order. Of two commands that come out the same the first is run."""


@dataclass(frozen=True)
class Exempt:
    command: str
    reason: str


CANNOT_RUN = [
    Exempt("nvidia-smi", "there need not be an NVIDIA GPU"),
    Exempt("watch -n 1 nvidia-smi", "there need not be an NVIDIA GPU, and it never ends"),
    *(
        Exempt(f"stance run fine_tuned_model{rest}", "minutes even on the embedded model; test_run_command.py runs it")
        for rest in ("", " --checkpoints 50,100,150,200", " --checkpoints all", " --budget 60m")
    ),
    Exempt("python tools/build_demo_model.py", "half an hour; test_demo_text.py checks what it built"),
]

SAYS = {
    "./start_training.sh": r"PID \d+",
    "tail -f training_run_*.log": r"next: stance answers",
    "tail -f fine_tuned_model/logs/training_log_*.jsonl | jq '{epoch: .epoch, loss: .avg_loss, acc: .avg_accuracy}'": (
        r'\{\s+"epoch": 1,\s+"loss": \d+\.\d+,\s+"acc": \d[.\d]*\s+\}'
    ),
    ".venv/bin/stance train --dry-run": r"dry run: everything is in order",
    "stance check": r"also training prompts",
    "stance check --corpus training_corpus.json --model demo": r"nats a token, chosen",
    "stance corpus suggest --model Qwen/Qwen2.5-0.5B-Instruct --output own_corpus.json": r"of 25 rejected answers",
    "stance answers --model fine_tuned_model/checkpoint-50": r"not evidence about Qwen|before: demo",
    "python analyze_bias_patterns.py post_training_phase1/responses.jsonl": r"ai_disclaimer",
    "python analyze_baseline.py post_training_baseline/responses.jsonl": r"right",
    "stance compare base_phase1 post_training_phase1": r"inconclusive",
    "stance questions": r"self_unseen +270 ",
    "stance probe fine_tuned_model": r"KL and top-1",
    "stance validate fine_tuned_model --screen": r"pragmatic",
    "make demo": r"\.venv/bin/stance demo",
    "make test": r"\.venv/bin/pytest",
}
"""What the output of a command must hold, for those where an exit code of 0 says little."""

LAST = "fine_tuned_model/checkpoint-200"
GUIDE_COMMANDS = [
    "./start_training.sh",
    "tail -f training_run_*.log",
    "tail -f fine_tuned_model/logs/training_log_*.jsonl | jq",
    "tail -f fine_tuned_model/logs/training_log_*.jsonl | jq '{epoch: .epoch, loss: .avg_loss, acc: .avg_accuracy}'",
    "watch -n 1 nvidia-smi",
    "nvidia-smi",
    f"python collect_bias_data.py --model {LAST} --mode comprehensive --output-dir post_training_phase1",
    "python collect_baseline.py --model fine_tuned_model/checkpoint-200 --output-dir post_training_baseline",
    "python analyze_bias_patterns.py post_training_phase1/responses.jsonl",
    "python analyze_baseline.py post_training_baseline/responses.jsonl",
    "python fine_tune_epistemic_stance.py --device cpu --epochs 200",
    "python fine_tune_epistemic_stance.py --learning-rate 5e-5",
    "python fine_tune_epistemic_stance.py --learning-rate 5e-6",
    "python fine_tune_epistemic_stance.py --warmup-steps 50",
    "python fine_tune_epistemic_stance.py --epochs 50",
    *(
        f"python fine_tune_epistemic_stance.py --corpus training_corpus.json --output-dir {rest}"
        for rest in (
            "fine_tuned_model --epochs 200 --checkpoint-every 10",
            "test_model --epochs 10 --checkpoint-every 5",
            "custom_model --epochs 200 --learning-rate 5e-5",
            "beta_test --epochs 200 --beta 0.2",
        )
    ),
]


# --- reading the pages -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    page: str
    line: int
    text: str

    @property
    def short(self) -> str:
        text = self.text
        for rewrite in REWRITES:
            text = re.sub(rewrite.pattern, rewrite.replacement, text)
        return text


def fences(page: str) -> Iterator[tuple[str, int, list[str]]]:
    """Language, line of the first content line, and content lines of every fenced block."""
    language, start, block = None, 0, []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.lstrip().startswith("```"):
            block.append(line)
        elif language is None:
            language, start, block = line.strip().removeprefix("```"), number + 1, []
        else:
            yield language, start, block
            language = None
    assert language is None, f"{page}:{start}: block without an end"


def commands() -> list[Command]:
    return [
        Command(page, start + offset, line)
        for page in PAGES
        for language, start, block in fences(page)
        if language == "bash"
        for offset, line in enumerate(block)
        if line.strip() and not line.startswith("#")
    ]


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_they_are(page: str) -> None:
    """So that no command hides from these tests in a block of another name."""
    for language, start, block in fences(page):
        assert language in {"bash", "diff", "json", "python", "text", "toml"}, f"{page}:{start}"
        starts = ("$ ", "./", "python ", "stance collect ", "stance answers ", "stance compare ", "make ", "pip ")
        hidden = [line for line in block if language == "text" and line.startswith(starts)]
        assert not hidden, f"{page}:{start}: a command in a text block: {hidden[0]}"


def test_the_guide_holds_every_command_that_users_know() -> None:
    given = {command.text for command in commands() if command.page == "TRAINING_GUIDE.md"}
    assert [command for command in GUIDE_COMMANDS if command not in given] == []


# --- running them ------------------------------------------------------------------------------------------


def run_in_this_process(arguments: list[str], folder: Path, output: Path) -> None:
    """What `python X.py ...` and `stance ...` do, in a process that has torch imported already."""
    with output.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.chdir(folder)
    program, *sys.argv[1:] = arguments
    if program == "stance":
        from epistemic_stance.cli import main as cli

        cli.main(sys.argv[1:])
    else:
        sys.argv[0] = program
        runpy.run_path(program, run_name="__main__")


@dataclass(frozen=True)
class Runner:
    """Runs commands in a copy of the repository. A tenth of the time goes to imports instead of nine."""

    folder: Path
    output: Path

    def run(self, command: str) -> tuple[int, str]:
        program, _, rest = command.removeprefix(".venv/bin/").partition(" ")
        plain = not set(rest) & set("|&;<>$*\"'`")
        if program == "stance" and plain:
            return self._fork(["stance", *shlex.split(rest)])
        if program == "python" and plain:
            return self._fork(shlex.split(rest))
        return self._shell(command)

    def _fork(self, arguments: list[str]) -> tuple[int, str]:
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=run_in_this_process, args=(arguments, self.folder, self.output))
        process.start()
        process.join(120)
        if process.is_alive():
            process.kill()
        return process.exitcode if process.exitcode is not None else -1, self.output.read_text(errors="replace")

    def _shell(self, command: str) -> tuple[int, str]:
        environment = {**os.environ, "PATH": f"{self.folder}/.venv/bin{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        if "start_training.sh" in command:
            wait_for_background(self.folder)
        return done.returncode, done.stdout


def wait_for_background(folder: Path) -> None:
    pid = (folder / "training.pid").read_text().strip()
    for _ in range(1200):
        state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
        if not state.strip() or state.startswith("Z"):
            return
        time.sleep(0.1)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    preloaded = ["epistemic_stance.cli.demo", "transformers.models.qwen2.modeling_qwen2", "peft"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preloaded)
    return Runner(copy_of_repository(tmp_path / "repository", pairs=4), tmp_path / "output")


def test_every_command_runs(runner: Runner) -> None:
    exempt = {entry.command for entry in CANNOT_RUN}
    without_jq = shutil.which("jq") is None
    failures, left_out, done = [], 0, set()
    for command in commands():
        if command.text in exempt or command.short in done:
            continue
        if without_jq and "| jq" in command.text:
            left_out += 1
            continue
        done.add(command.short)
        code, output = runner.run(command.short)
        said = re.search(SAYS.get(command.text, ""), output)
        if code != 0 or not said:
            why = f"exit code {code}" if code else f"does not say {SAYS[command.text]!r}"
            failures.append(f"{command.page}:{command.line}: {command.short}\n  {why}\n{output[-1500:]}")
    assert not failures, "\n\n".join(failures)
    if left_out:
        pytest.skip(f"jq is not installed: {left_out} commands were not run")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_make_demo_ends_in_a_report(tmp_path: Path) -> None:
    folder = copy_of_repository(tmp_path / "repository")
    command = ["make", "--old-file=.venv/.installed", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("Training finished", "before: demo", "unseen", "not evidence about Qwen", "Criteria: ", "Red flags: "):
        assert part in done.stdout
    assert done.stdout.rstrip().endswith("report: demo_run/report.html")
    assert (folder / "demo_run" / "report.html").stat().st_size < 6_000_000


# --- the tables themselves ---------------------------------------------------------------------------------


def test_every_exception_still_occurs() -> None:
    given = {command.text for command in commands()}
    assert [entry.command for entry in CANNOT_RUN if entry.command not in given] == [], "no longer in any page"


def test_every_rewrite_and_expectation_is_still_used() -> None:
    unused = {rewrite.pattern for rewrite in REWRITES}
    for command in commands():
        text = command.text
        for rewrite in REWRITES:
            shorter = re.sub(rewrite.pattern, rewrite.replacement, text)
            unused -= {rewrite.pattern} if shorter != text else set()
            text = shorter
    assert unused == set()
    assert SAYS.keys() <= {command.text for command in commands()}


# --- what the pages point to -------------------------------------------------------------------------------


def headings(page: Path) -> set[str]:
    """Anchors of a page as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in headings(file), f"{page}: {target}"


def test_no_page_is_forgotten() -> None:
    assert {str(name) for name in repository_files() if name.suffix == ".md"} == set(PAGES)


@pytest.mark.parametrize("tool", ["write_cli_docs.py", "write_schemas.py"])
def test_generated_pages_are_up_to_date(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
