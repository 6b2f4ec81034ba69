"""What of a paper a suite is to be held against, as its recipe file says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from una_bench.errors import UserError


class Lengths(BaseModel):
    """Tokens that ``--dry-run`` reckons with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt_tokens: float = Field(gt=0)
    response_tokens: float = Field(gt=0)


class Target(BaseModel):
    """What a suite is to be held against: the key ``reproduces`` of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tables: tuple[str, ...]
    claims: tuple[str, ...] = ()
    rows: dict[str, dict[str, Any]]
    """Row of the published tables -> ``method`` and the settings that tell its variant."""
    assumed: Lengths


def target(reproduces: Mapping[str, Any], name: str) -> Target:
    """Check what a suite says that it reproduces.

    Raises:
        UserError: It reproduces nothing, or says it in other words.
    """
    if not reproduces:
        raise UserError(f"The suite {name} reproduces nothing that is published. `una-bench run {name}` runs it.")
    try:
        return Target.model_validate(reproduces)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("reproduces", *first["loc"]))
        raise UserError(f"{name}: '{where}': {first['msg']}.") from None
