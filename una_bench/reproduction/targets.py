"""The key ``reproduces`` of a recipe: the published tables and claims to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from una_bench.errors import UserError


class Lengths(BaseModel):
    """Token counts that ``--dry-run`` assumes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt_tokens: float = Field(gt=0)
    response_tokens: float = Field(gt=0)


class Target(BaseModel):
    """Published tables and claims to compare a suite with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tables: tuple[str, ...]
    claims: tuple[str, ...] = ()
    rows: dict[str, dict[str, Any]]
    """Row of the published tables -> ``method`` and the settings that select its variant."""
    assumed: Lengths


def target(reproduces: Mapping[str, Any], name: str) -> Target:
    """Validate the key ``reproduces`` of the suite ``name``; `UserError` if it is empty or invalid."""
    if not reproduces:
        raise UserError(f"The suite {name} reproduces no published numbers. Use `una-bench run {name}` instead.")
    try:
        return Target.model_validate(reproduces)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("reproduces", *first["loc"])))
        raise UserError(f"{name}: '{where}': {first['msg']}.") from None
