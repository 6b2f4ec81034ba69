"""What result tables and difference tables have in common: estimates of a row, and how a column shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from una_bench import formatting
from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Metric, Row
from una_bench.reporting.tables import column_heads
from una_bench.reporting.tables.table import Cell, Column, Line


@dataclass(frozen=True, slots=True)
class Format:
    """How the numbers of one column are shown."""

    factor: float
    decimals: int

    def value(self, estimate: stats.Estimate) -> str:
        """Show a mean with its interval."""
        text = formatting.number(estimate.mean / self.factor, self.decimals)
        return text + self.spread(estimate.half)

    def difference(self, effect: stats.Effect) -> str:
        """Show a difference with its sign and interval."""
        text = formatting.number(effect.mean / self.factor, self.decimals, sign=True)
        return text + self.spread(None if effect.low is None or effect.high is None else (effect.high - effect.low) / 2)

    def spread(self, half: float | None) -> str:
        """Show half an interval, nothing where there is none."""
        return "" if half is None else f" ± {formatting.half(half / self.factor, self.decimals)}"


def estimate(row: Row, metric: str) -> stats.Estimate | None:
    """Mean over seeds with its interval, which covers documents too where their standard errors are known."""
    values, errors = row.values.get(metric, {}), row.errors.get(metric, {})
    if not values:
        return None
    if values.keys() == errors.keys():
        if row.fixed and len(values) == 1:
            return aggregate.over_documents(*values.values(), *errors.values())
        return aggregate.with_documents(list(values.values()), list(errors.values()))
    return stats.interval(list(values.values()))


def matched(a: Row, b: Row, metric: str) -> tuple[stats.Seeds, stats.Seeds]:
    """Values of two rows by seed; an untrained row stands beside every seed of the other."""
    of_a, of_b = a.values.get(metric, {}), b.values.get(metric, {})
    return a.seeds(metric, of_b), b.seeds(metric, of_a)


def column(metric: Metric, rows: Sequence[Row], *, differences: Sequence[stats.Effect] = ()) -> tuple[Column, Format]:
    """Return a column with one scale and one number of digits for all its rows."""
    estimates = [e for row in rows if (e := estimate(row, metric.name)) is not None]
    chosen = formatting.scale(metric.unit, [e.mean for e in estimates])
    halves: list[float | None] = [e.half for e in estimates]
    if differences:
        halves = [(d.high - d.low) / 2 if d.low is not None and d.high is not None else None for d in differences]
    scaled = [None if h is None else h / chosen.factor for h in halves]
    decimals = formatting.places([e.mean / chosen.factor for e in estimates], scaled)
    column = Column(key=metric.name, head=column_heads.title(metric, chosen.unit), unit=metric.unit)
    return column, Format(chosen.factor, decimals)


def line(row: Row, cells: tuple[Cell, ...]) -> Line:
    """Return a row of a table: label, caveat, names for files, and its cells."""
    names = {
        "run": formatting.clean(row.run),
        "method": formatting.clean(row.method),
        "variant": formatting.clean(row.variant),
    }
    return Line(label=row.label, caveat=caveat(row), names=names, cells=cells)


def value_cell(row: Row, found: stats.Estimate, form: Format, *, fewer: bool = False) -> Cell:
    """Return the cell of a mean; ``fewer`` says its number of seeds beside it, as one seed always does."""
    seeds = "" if row.fixed else "1 seed" if found.n == 1 else f"{found.n} seeds" if fewer else ""
    numbers = {"mean": found.mean, "low": or_nan(found.low), "high": or_nan(found.high), "n": found.n}
    return Cell(text=form.value(found), caveat=seeds, numbers=numbers)


def caveat(row: Row) -> str:
    """What a reader must know of the whole row: failed seeds, or that it was not trained."""
    if row.failed:
        statuses = ", ".join(dict.fromkeys(str(r.status).replace("_", " ") for r in row.failed))
        total = len(row.records)
        return f"{len(row.failed)} of {total} seeds: {statuses}" if total > 1 else statuses
    return "untrained" if row.fixed and "untrained" not in row.label else ""


def or_nan(value: float | None) -> float:
    """Return a number for files, not a number where there is none."""
    return math.nan if value is None else value
