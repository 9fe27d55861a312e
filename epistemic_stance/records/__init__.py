"""Every record that touches disk. What people write is strict and closed; what we log is open."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=100)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)]


class Written(BaseModel):
    """Base of what people write: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Logged(BaseModel):
    """Base of what we write: readers of a later version keep fields they do not know."""

    model_config = ConfigDict(extra="allow", validate_by_name=True, serialize_by_alias=True)
