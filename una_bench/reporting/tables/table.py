"""The model of a table, whatever it shows; `render` and `terminal` print it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its head with the unit as shown, and the unit of its numbers in files."""

    key: str
    head: str
    unit: str = "1"
    """Empty where every row has its own."""
    numbers: tuple[str, ...] = ("mean", "low", "high", "n")
    """Names of the numbers that its cells hold; none for a column of words."""
    wraps: bool = False
    """A column of words, set flush left."""

    def entries(self, cell: Cell) -> dict[str, float | str]:
        """Numbers of one cell under the column names of a file; absent ones are not a number."""
        found = cell.numbers or {}
        if not self.numbers:
            return {self.key: cell.text}
        return {self.name(key): found.get(key, float("nan")) for key in self.numbers}

    def name(self, key: str) -> str:
        """Return a file's column name: the metric, which number of it, and the unit."""
        base = self.key if key == "mean" else f"{self.key} {key}"
        return base if key in {"n", "p"} or not self.unit else f"{base} [{self.unit}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One entry: what is shown, and the numbers behind it in base units."""

    text: str
    best: bool = False
    tied: bool = False
    caveat: str = ""
    """Said beside the number."""
    numbers: Mapping[str, float | str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table."""

    label: str
    caveat: str = ""
    names: Mapping[str, str]
    """Method, variant and the like, for files."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows that may be compared with one another."""

    heading: str = ""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; ``then`` follows it where it is printed."""

    title: str
    stub: str = "method"
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    then: tuple[Table, ...] = ()
