"""Published numbers with their source, table and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from una_bench.errors import UserError, nearest

T = TypeVar("T")
AVERAGE = "average"
"""Column with the mean of the others, as printed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Frozen):
    """One line of a published table."""

    row: str
    """Name of the row in the source."""
    line: int | None = None
    """Line in a plain-text extraction of the source."""
    values: tuple[float, ...]


class PublishedTable(_Frozen):
    """One published table."""

    table: str
    about: str
    source: str
    provenance: Literal["primary", "secondary"]
    """``secondary``: taken from a summary of the source by others."""
    policy: str
    data: str
    leaderboard: str
    """Name in `una_bench.evaluation.leaderboards`; empty if una-bench does not have these tasks."""
    columns: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[Row, ...]

    @field_validator("units", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _square(self) -> PublishedTable:
        if len(self.units) not in {1, len(self.columns)}:
            raise ValueError("units must be one, or one for each column")
        if any(len(row.values) != len(self.columns) for row in self.rows):
            raise ValueError("each row must have a value for each column")
        return self

    def row(self, name: str) -> dict[str, float]:
        """Return the values of a row by column."""
        return next(dict(zip(self.columns, r.values, strict=True)) for r in self.rows if r.row == name)


class Claim(_Frozen):
    """A published ratio of two figures."""

    claim: str
    about: str
    source: str
    provenance: Literal["primary", "secondary"]
    line: int | None = None
    policy: str
    hardware: str
    steps: int
    """As stated in the source."""
    rows: dict[str, float]
    """Row of the tables -> figure; the claim is the ratio of the first to the second."""
    unit: str

    @property
    def ratio(self) -> float:
        """Ratio of the first figure to the second."""
        first, second = self.rows.values()
        return first / second


class Comparison(_Frozen):
    """A published order or equality of two methods."""

    comparison: str
    statement: str
    kind: Literal["better", "equal", "as_good"]
    """``as_good``: not worse by more than ``margin``."""
    first: dict[str, Any]
    second: dict[str, Any]
    """``method`` and the values of settings, or lists of them, that select its rows."""
    metrics: tuple[str, ...]
    """Patterns of the metrics that can decide it."""
    margin: float | None = Field(default=None, gt=0)
    """Difference, in the metric's unit, up to which two are as good as equal."""
    weights: float = 0.0
    """Smallest policy that the claim is of."""
    source: str
    place: str

    @model_validator(mode="after")
    def _margin_if_needed(self) -> Comparison:
        if (self.margin is None) != (self.kind == "better"):
            raise ValueError("equal and as_good need a margin, better has none")
        return self


class Reference(_Frozen):
    """All published numbers."""

    schema_number: Literal[1] = Field(alias="schema")
    tables: tuple[PublishedTable, ...]
    claims: tuple[Claim, ...]
    comparisons: tuple[Comparison, ...] = ()

    def table(self, name: str) -> PublishedTable:
        """Return the table of that name, or raise `UserError`."""
        return _find(name, {t.table: t for t in self.tables}, "table")

    def claim(self, name: str) -> Claim:
        """Return the claim of that name, or raise `UserError`."""
        return _find(name, {c.claim: c for c in self.claims}, "claim")


def _find(name: str, choices: dict[str, T], kind: str) -> T:
    if name not in choices:
        raise UserError(
            f"There is no published {kind} '{name}'.{nearest(name, choices)} Choose from: {', '.join(choices)}."
        )
    return choices[name]


def folder() -> Path:
    """Return the folder of the published numbers: inside the installed package, or ``results/`` of a checkout."""
    inside = Path(__file__).parents[1] / "published"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "results" / "reference"


def load(path: Path | None = None) -> Reference:
    """Read and check the published numbers; `UserError` if the file is missing or damaged."""
    file = path or folder() / "una.yaml"
    try:
        return Reference.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}. Install una-bench again.") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{file} is damaged: {str(error).splitlines()[0]}. Install una-bench again.") from None
