"""The model of a table, whatever it shows and however it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from una_bench.analysis.documents import Scores
    from una_bench.record.schema import Record


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
    """A table in every format; ``then`` follows it where it is printed."""

    title: str
    stub: str = "method"
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    then: tuple[Table, ...] = ()

    def frame(self) -> pd.DataFrame:
        """All numbers in base units, unrounded: mean, low, high and n of each column."""
        import pandas as pd

        lines = []
        for group in self.groups:
            for line in group.lines:
                entry: dict[str, object] = {**line.names, "label": line.label, "group": group.heading}
                said = [line.caveat]
                for column, cell in zip(self.columns, line.cells, strict=True):
                    entry.update(column.entries(cell))
                    silent = column.numbers and not cell.numbers
                    said.append(f"{column.key}: {cell.caveat or cell.text}" if cell.caveat or silent else "")
                lines.append({**entry, "notes": "; ".join(filter(None, said))})
        return pd.DataFrame(lines)

    def to_terminal(self) -> RenderableType:
        """Return what ``rich`` prints; it splits into blocks where the terminal is narrower than the table."""
        from una_bench.reporting.tables.terminal import Terminal

        return Terminal(self)

    def to_markdown(self) -> str:
        """GitHub-flavored Markdown."""
        from una_bench.reporting.tables import render

        return render.markdown(self)

    def to_csv(self) -> str:
        """Comma-separated values in base units, one line a row."""
        from una_bench.reporting.tables import render

        return render.csv(self)

    def to_latex(self) -> str:
        """LaTeX with booktabs."""
        from una_bench.reporting.tables import render

        return render.latex(self)

    def to_html(self) -> str:
        """HTML fragment, everything from records escaped."""
        from una_bench.reporting.tables import render

        return render.html(self)


def results(records: Sequence[Record], *, baseline: str | None = None, documents: Scores | None = None) -> Table:
    """Return the main table: a row for each method and variant, mean ± interval over seeds.

    With a ``baseline`` (a method, ``method[variant]`` or label) a table of paired differences follows it; with
    ``documents`` (`una_bench.analysis.documents.scores`) those of tasks are paired by document too.
    """
    from una_bench.reporting.tables import results_table

    return results_table.results(records, baseline=baseline, documents=documents)
