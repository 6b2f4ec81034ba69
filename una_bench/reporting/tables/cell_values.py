"""Cells of result and difference tables: estimates of a row and their number format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from una_bench import formatting
from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import Record, Status
from una_bench.reporting.tables import column_heads
from una_bench.reporting.tables.table import Cell, Column, Line


@dataclass(frozen=True, slots=True)
class Format:
    """Number format of one column."""

    factor: float
    decimals: int

    def text(self, estimate: stats.Estimate, *, sign: bool = False) -> str:
        """Format a mean with half its interval, if there is one; with ``sign`` for differences."""
        mean, half = formatting.number(estimate.mean / self.factor, self.decimals, sign=sign), estimate.half
        return mean if half is None else f"{mean} ± {formatting.half(half / self.factor, self.decimals)}"


def estimate(row: Row, metric: str) -> stats.Estimate | None:
    """Return the mean over seeds with its interval, which also covers documents if their standard errors are known."""
    values, errors = row.values.get(metric, {}), row.errors.get(metric, {})
    if not values:
        return None
    if values.keys() == errors.keys():
        if row.fixed and len(values) == 1:
            return aggregate.over_documents(*values.values(), *errors.values())
        return aggregate.with_documents(list(values.values()), list(errors.values()))
    return stats.interval(list(values.values()))


def matched(a: Row, b: Row, metric: str) -> tuple[stats.Seeds, stats.Seeds]:
    """Return the values of two rows by seed; the value of an untrained row is paired with every seed of the other."""
    return a.seeds(metric, b.values.get(metric, {})), b.seeds(metric, a.values.get(metric, {}))


def column(metric: Metric, rows: Sequence[Row], *, differences: Sequence[stats.Effect] = ()) -> tuple[Column, Format]:
    """Return a column with one scale and one number of digits for all its rows."""
    estimates = [e for row in rows if (e := estimate(row, metric.name)) is not None]
    scale = formatting.scale(metric.unit, [e.mean for e in estimates])
    halves = [None if e.half is None else e.half / scale.factor for e in differences or estimates]
    decimals = formatting.places([e.mean / scale.factor for e in estimates], halves)
    column = Column(key=metric.name, head=column_heads.title(metric, scale.unit), unit=metric.unit)
    return column, Format(scale.factor, decimals)


def line(row: Row, cells: tuple[Cell, ...]) -> Line:
    """Return a row of a table: label, caveat, names for files, and its cells."""
    names = {key: formatting.clean(getattr(row, key)) for key in ("run", "method", "variant")}
    return Line(label=row.label, caveat=caveat(row), names=names, cells=cells)


def value_cell(row: Row, mean: stats.Estimate, form: Format, *, fewer: bool = False) -> Cell:
    """Return the cell of a mean; its number of seeds is shown if it is 1, or with ``fewer``."""
    seeds = "" if row.fixed else "1 seed" if mean.n == 1 else f"{mean.n} seeds" if fewer else ""
    return Cell(text=form.text(mean), caveat=seeds, numbers=numbers(mean))


def caveat(row: Row) -> str:
    """Return the remark on a whole row: failed seeds, or untrained."""
    if row.failed:
        statuses = ", ".join(dict.fromkeys(map(_status, row.failed)))
        total = len(row.records)
        alike = all(r.status is Status.NOT_APPLICABLE for r in row.records)
        return statuses if total == 1 or alike else f"{len(row.failed)} of {total} seeds: {statuses}"
    return "untrained" if row.fixed and "untrained" not in row.label else ""


def _status(record: Record) -> str:
    """Return how a cell ended, with the reason where that says more than "failed"."""
    status = str(record.status).replace("_", " ")
    if record.status is Status.NOT_APPLICABLE and record.failure:
        status = "not run" if record.failure.advice else status
        return f"{status}: {formatting.clean(record.failure.reason)}"
    return status


def numbers(of: stats.Estimate, names: Sequence[str] = ("mean", "low", "high", "n")) -> dict[str, float]:
    """Return the named numbers that are known."""
    return {name: value for name in names if (value := getattr(of, name)) is not None}
