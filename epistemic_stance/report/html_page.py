"""The report as one HTML file that needs nothing else: no request leaves it, and nothing in it runs but its script.

The security policy names the hashes of the one script and the one style sheet, so that neither a style attribute nor an
event handler nor a second script that an answer might smuggle in is obeyed. Answers are JSON in a data block, and the
script makes text of them, never markup.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from epistemic_stance.foundation.terminal import visible
from epistemic_stance.report.browser import Answers
from epistemic_stance.report.layout import Report

TEMPLATES = Path(__file__).parent / "templates"


def html(report: Report, answers: Answers | None) -> str:
    """Text of models and of people is escaped by the template; only our own files and charts are markup."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    style, script = (_text(name) for name in ("report.css", "report.js"))
    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        answers=answers,
        data=Markup(answers.data if answers else "null"),  # noqa: S704 - made safe by `browser`
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=policy(style, script),
        markup=Markup,
    )


def policy(style: str, script: str) -> str:
    """Content-Security-Policy: everything is forbidden but these two texts."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _shown(value: Any) -> Any:
    """Hidden and reordering characters as escapes; what is markup is ours."""
    return visible(value) if type(value) is str else value


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
