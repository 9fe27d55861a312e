"""The report in a real browser: it renders, filters and keys work, and neither it nor an answer does anything else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_run import CHOSEN, OWNED, write_run

from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import ReportSettings
from epistemic_stance.report import run as reporting

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt install chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("browser"))
    reporting.run(ReportSettings(run), silent)
    return run / "report.html"


class Visit:
    """One page, with what it said on the console and asked of the network."""

    def __init__(self, chromium: Any, file: Path, **options: Any) -> None:
        self.context = chromium.new_context(**options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.refused.append((request.url, request.failure)))
        self.page.goto(file.as_uri())

    def count(self, selector: str) -> int:
        found: int = self.page.locator(selector).count()
        return found

    def choose(self, name: str, label: str) -> None:
        self.page.locator(f"[name={name}]").select_option(label=label)

    def shown(self) -> str:
        found: str = self.page.locator("#found").inner_text()
        return found

    def wait_for(self, words: str | re.Pattern[str]) -> None:
        """Typing filters after a moment."""
        sync_api.expect(self.page.locator("#found")).to_have_text(words)

    def focused(self) -> str:
        found: str = self.page.evaluate("document.activeElement.getAttribute('aria-label') || ''")
        return found


@pytest.fixture
def visit(chromium: Any, built: Path) -> Iterator[Visit]:
    """Whatever a test does, the console stays silent and nothing but the file is asked for."""
    found = Visit(chromium, built)
    yield found
    assert found.said == []
    assert found.asked == [built.as_uri()]
    assert found.page.title() != "owned"
    found.context.close()


def test_it_renders(visit: Visit) -> None:
    assert CHOSEN in visit.page.locator(".verdict").inner_text()
    assert visit.count("figure svg") >= 10
    assert visit.count("article") == 10
    assert visit.shown() == "Pairs 1 to 10 of 560"
    colours = "element => [getComputedStyle(element).stroke, getComputedStyle(element).fill]"
    line = visit.page.locator("svg path.stroke-series1").first.evaluate(colours)
    assert line[0] == "rgb(11, 110, 153)"


def test_dark_is_another_palette(chromium: Any, built: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    dark, light = (Visit(chromium, built, color_scheme=name).page.evaluate(colour) for name in ("dark", "light"))
    assert (dark, light) == ("rgb(20, 24, 29)", "rgb(255, 255, 255)")


def test_nothing_is_wider_than_a_phone(chromium: Any, built: Path) -> None:
    page = Visit(chromium, built, viewport=PHONE).page
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_filters(visit: Visit) -> None:
    visit.choose("set", "facts")
    assert visit.shown() == "Pairs 1 to 10 of 320"
    visit.choose("set", "self")
    visit.choose("pattern", "boundary")
    visit.choose("where", "both")
    assert visit.shown() == "Pairs 1 to 10 of 12"
    visit.choose("where", "base only")
    assert visit.shown() == "No pair of answers fits"
    visit.choose("where", "checkpoint only")
    assert visit.shown() == "Pairs 1 to 10 of 228"  # from .05 of 120 questions, twice, to all of them
    visit.choose("flip", "pragmatic")
    assert visit.shown() == "Pairs 1 to 10 of 228"
    visit.choose("category", "outer")
    assert visit.shown() == "Pairs 1 to 10 of 120"  # those of the base are all inner
    visit.choose("exposure", "seen")
    assert visit.shown() == "Pairs 1 to 4 of 4"  # questions 1 and 3, twice
    visit.choose("exposure", "all")
    visit.page.get_by_role("searchbox").fill("gnp.exe DOOR")
    visit.wait_for(re.compile(" 96$"))
    visit.choose("grade", "wrong after")
    assert visit.shown() == "No pair of answers fits"
    assert visit.count("article") == 0
    visit.page.get_by_role("button", name="Clear").click()
    visit.wait_for(re.compile(" 560$"))


def test_pages(visit: Visit) -> None:
    first = visit.page.locator("article h3").all_inner_texts()
    assert visit.page.locator("#earlier").is_disabled()
    visit.page.locator("#later").click()
    assert visit.shown() == "Pairs 11 to 20 of 560"
    assert visit.page.locator("article h3").all_inner_texts() != first
    visit.page.locator("#earlier-below").click()
    assert visit.page.locator("article h3").all_inner_texts() == first
    for _ in range(55):
        visit.page.locator("#later").click()
    assert visit.shown() == "Pairs 551 to 560 of 560"
    assert visit.page.locator("#later").is_disabled()


def test_keys(visit: Visit) -> None:
    press = visit.page.keyboard.press
    press("ArrowRight")
    assert visit.shown() == "Pairs 1 to 10 of 560"  # whoever reads elsewhere on the page is not carried off
    press("j")
    assert visit.focused() == "Pair 1 of 560"
    for _ in range(10):
        press("j")
    assert visit.focused() == "Pair 11 of 560"
    press("k")
    assert visit.focused() == "Pair 10 of 560"
    press("ArrowRight")
    assert visit.shown() == "Pairs 11 to 20 of 560"
    assert visit.focused() == "Pair 11 of 560"
    press("ArrowLeft")
    assert visit.shown() == "Pairs 1 to 10 of 560"
    press("/")
    visit.page.keyboard.type("jjk/")
    assert visit.page.get_by_role("searchbox").input_value() == "jjk/"
    visit.wait_for("No pair of answers fits")


def test_what_has_the_focus_can_be_seen(visit: Visit) -> None:
    for _ in range(4):
        visit.page.keyboard.press("Tab")
        outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", visit.page.evaluate("document.activeElement.outerHTML")


def test_every_control_has_a_name(visit: Visit) -> None:
    named = "all => all.map(one => (one.labels && one.labels.length) ? one.labels[0].textContent : one.textContent)"
    names = visit.page.locator("select, input, button").evaluate_all(named)
    assert len(names) == 14
    assert all(name.strip() for name in names)


def test_marks_stand_on_what_the_rules_matched(visit: Visit) -> None:
    visit.choose("set", "self")
    visit.page.get_by_role("searchbox").fill("gnp.exe")
    visit.wait_for(re.compile(" 192$"))
    side = visit.page.locator("article").first.locator(".side").last
    assert [one.lower() for one in side.locator("mark").all_inner_texts()] == ["nobody can verify"] * 2
    assert side.locator("mark").first.get_attribute("data-group") == "pragmatic"


def test_a_hostile_answer_is_text(visit: Visit) -> None:
    visit.page.get_by_role("searchbox").fill("gnp.exe")
    visit.wait_for(re.compile(" 192$"))
    text = visit.page.locator("article").first.locator(".side").last.inner_text()
    assert f"<script>{OWNED}</script></script><img src=x" in text
    for escape in ("\\u2028", "\\x1b[31m", "\\u202e"):
        assert escape in text
    assert visit.count("main img") == 0
    assert visit.count("main script") == 0
    visit.page.wait_for_timeout(50)


def test_the_policy_stops_what_markup_would_do(chromium: Any, built: Path) -> None:
    """Were some text not escaped after all, neither handler nor script nor style nor picture would get anywhere."""
    visit = Visit(chromium, built)
    smuggled = (
        f'<img src=x onerror="{OWNED}"><svg onload="{OWNED}"></svg><p id=p style="color: rgb(1, 2, 3)">x</p>'
        '<iframe src="https://example.invalid/"></iframe>'
    )
    visit.page.evaluate(f"document.getElementById('answers').innerHTML = {json.dumps(smuggled)}")
    script = f"const one = document.createElement('script'); one.textContent = {json.dumps(OWNED)};"
    visit.page.evaluate(f"{script} document.body.append(one)")
    visit.page.wait_for_timeout(200)
    assert visit.page.title() != "owned"
    assert visit.page.evaluate("getComputedStyle(document.getElementById('p')).color") != "rgb(1, 2, 3)"
    assert any("Content Security Policy" in message for message in visit.said)
    assert visit.refused == [((built.parent / "x").as_uri(), "csp")]
    assert visit.asked == [built.as_uri(), visit.refused[0][0]]


def test_the_policy_is_what_stops_it(chromium: Any, built: Path, tmp_path: Path) -> None:
    """The same page without the policy is owned: the test above can fail."""
    page = built.read_text(encoding="utf-8").replace("Content-Security-Policy", "x-nothing")
    (tmp_path / "open.html").write_text(page, encoding="utf-8")
    visit = Visit(chromium, tmp_path / "open.html")
    visit.page.evaluate(
        f"document.getElementById('answers').innerHTML = {json.dumps(f'<img src=x onerror={json.dumps(OWNED)}>')}"
    )
    sync_api.expect(visit.page).to_have_title("owned")


def test_on_paper_there_are_no_controls(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    assert visit.page.locator(".controls").evaluate_all("all => all.every(one => one.offsetParent === null)")
    assert visit.page.locator("article").first.is_visible()


def test_without_scripts_the_page_says_where_the_answers_are(chromium: Any, built: Path) -> None:
    visit = Visit(chromium, built, java_script_enabled=False)
    assert visit.page.get_by_text("scripts are switched off").is_visible()
    assert visit.said == []
