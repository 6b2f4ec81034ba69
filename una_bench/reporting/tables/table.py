"""Table as data; `render` and `terminal` print it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its head with the unit as shown, and the unit of its numbers in files."""

    key: str
    head: str
    unit: str = "1"
    """Empty if each row has its own."""
    numbers: tuple[str, ...] = ("mean", "low", "high", "n")
    """Names of the numbers in its cells; none for a column of text."""
    wraps: bool = False
    """Whether it is a column of text, left-aligned and wrapped."""

    def entries(self, cell: Cell) -> dict[str, float | str]:
        """Return the numbers of one cell by the column names of a file, NaN if absent."""
        if not self.numbers:
            return {self.key: cell.text}
        return {self.name(key): (cell.numbers or {}).get(key, float("nan")) for key in self.numbers}

    def name(self, key: str) -> str:
        """Return a file's column name: the metric, which number of it, and the unit."""
        base = self.key if key == "mean" else f"{self.key} {key}"
        return base if key in {"n", "p"} or not self.unit else f"{base} [{self.unit}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: the text shown and its numbers in base units."""

    text: str
    best: bool = False
    tied: bool = False
    caveat: str = ""
    """Shown beside the number."""
    numbers: Mapping[str, float | str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table."""

    label: str
    caveat: str = ""
    names: Mapping[str, str]
    """Identifying columns for files, such as method and variant."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows that may be compared with each other."""

    heading: str = ""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; those in ``then`` are printed after it."""

    title: str
    stub: str = "method"
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    then: tuple[Table, ...] = ()
