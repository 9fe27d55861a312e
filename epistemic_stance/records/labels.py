"""What `stance label` records of a sample: which answers were drawn, from which files, and how much each stands for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epistemic_stance.records import Logged


class DrawnAnswer(Logged):
    """An answer to label."""

    id: str
    """Each once; says nothing of the model."""
    model: str
    """Whose answer it is: base, checkpoint-008, ... Each model has an error of its own."""
    weights_digest: str | None
    """Of that model; None = unknown."""
    question_set: str | None
    line: int
    """Of its file, from 1."""
    category: str
    question: str
    temperature: float | None
    iteration: int | None
    response: str
    stratum: str
    """The pattern that is rarest in the model's answers among those found in this one, or `none`; `all` in a sample
    without strata."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Answers of its model that it stands for: N_h / n_h of its stratum."""

    @property
    def place(self) -> tuple[str, str | None, int, str]:
        """Where it stands, and what it says there: the same in every sample."""
        return self.model, self.question_set, self.line, self.response

    @property
    def part(self) -> tuple[str, str]:
        """Model and stratum: answers of one part stand for each other."""
        return self.model, self.stratum


class DrawnFile(Logged):
    """A file of answers that was drawn from."""

    model: str
    question_set: str | None
    file: str
    """Relative to the folder above the labels."""


Design = Literal["criteria", "patterns"]
"""`criteria`: a simple random sample of the answers that criteria judge, asked for what they judge; `patterns`: a
sample of all answers by what the rules find in them, asked for every pattern."""


class DrawRecord(Logged):
    """draw.json: a sample of each model's answers."""

    schema_version: Literal[1] = Field(1, alias="schema")
    design: Design = "patterns"
    columns: list[str] = []
    """What the label files ask for; empty = every pattern."""
    number: int
    """Answers asked for per model; a model that has fewer was drawn whole."""
    files: list[DrawnFile]
    answers: list[DrawnAnswer]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(file.model for file in self.files))
