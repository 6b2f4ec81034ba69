"""Table of ladders: what each change from one method to another makes of time, operations and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from una_bench import formatting
from una_bench.analysis import frame, ladder
from una_bench.analysis.ladder import Ladder, Quantities, Seeds
from una_bench.formatting import Scale
from una_bench.record import reader
from una_bench.record.schema import Record
from una_bench.reporting.tables import cell_values, render
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table

TITLE = "One change at a time"
NUMBERS = ("median", "low", "high", "n")
COLUMNS = (("seconds", "time per response", "s"), ("operations", "operations", "FLOP"), ("bytes", "peak memory", "B"))
BEFORE = "× before: in units of the row above (1: no change, below 1: less), paired by seed; –: no row to compare with"
SPREAD = "median over seeds, with the least and the most in brackets"
PER_RESPONSE = (
    "time and operations are per response drawn or given, each counted once: without the first rollout in time, with "
    "a reference pass before training"
)
IN_ALL = "in all: product of the changes that belong to it, by seed"


def of_records(records: Sequence[Record]) -> Table | None:
    """Return the table of the ladders in the records, None without two neighboring rungs of any."""
    climbed = ladder.ladders(frame.rows(records))
    if not climbed:
        return None
    scales = {
        name: formatting.scale(
            unit, [v for one in climbed for step in one.steps for v in step.values.get(name, {}).values()]
        )
        for name, _, unit in COLUMNS
    }
    columns = [Column(key="part", head="belongs to", numbers=(), wraps=True)]
    for name, head, unit in COLUMNS:
        columns.append(Column(key=name, head=f"{head} [{scales[name].unit}]", unit=unit, numbers=NUMBERS))
        columns.append(Column(key=f"{name} ratio", head="× before", numbers=NUMBERS))
    contexts = [one.context for one in climbed]
    groups = []
    for one in climbed:
        apart = one.context.unlike(contexts)
        heading = one.title + (f" ({apart})" if apart else "")
        groups.append(Group(heading=heading, lines=tuple(_lines(one, scales))))
    return Table(
        title=TITLE,
        stub="change",
        columns=tuple(columns),
        groups=tuple(groups),
        notes=(BEFORE, SPREAD, PER_RESPONSE, IN_ALL),
    )


def markdown(run: Path) -> str:
    """Return the table of a run's folder as Markdown, empty without one."""
    table = of_records(reader.records(run))
    return render.markdown(table) if table else ""


def _lines(one: Ladder, scales: dict[str, Scale]) -> Iterator[Line]:
    for step in one.steps:
        rung = step.rung
        names = {"method": rung.method, "ladder": one.title}
        caveat = cell_values.caveat(step.row) if step.row else "not in this run"
        cells = _cells(rung.part, step.values, step.changes, scales)
        yield Line(label=rung.title, caveat=caveat, names=names, cells=cells)
    for title, product in one.in_all.items():
        yield Line(label=title, names={"ladder": one.title}, cells=_cells("", {}, product, scales))


def _cells(part: str, values: Quantities, changes: Quantities, scales: dict[str, Scale]) -> tuple[Cell, ...]:
    cells = [Cell(text=part)]
    for name, _, _ in COLUMNS:
        measured = values.get(name, {})
        text = formatting.short(median(measured.values()) / scales[name].factor) if measured else "–"
        cells.append(Cell(text=text, numbers=_numbers(measured)))
        cells.append(_ratio(changes.get(name, {})))
    return tuple(cells)


def _ratio(ratios: Seeds) -> Cell:
    """Return the median, with the range if there are several seeds."""
    if not ratios:
        return Cell(text="–")
    low, middle, high = (formatting.number(f(ratios.values()), 2) for f in (min, median, max))
    return Cell(text=middle if len(ratios) == 1 else f"{middle} [{low}, {high}]", numbers=_numbers(ratios))


def _numbers(values: Seeds) -> dict[str, float]:
    if not values:
        return {}
    each = list(values.values())
    return {"median": median(each), "low": min(each), "high": max(each), "n": float(len(each))}
