"""Tables over draws of a problem: means with intervals, and in how many draws each method beat each other one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from una_bench import formatting
from una_bench.analysis import draws as over_draws
from una_bench.analysis import frame, stats
from una_bench.analysis.draws import Drawn, Draws, Duel
from una_bench.analysis.frame import Metric
from una_bench.record import reader
from una_bench.record.schema import Better
from una_bench.reporting.tables import cell_values, column_heads
from una_bench.reporting.tables.cell_values import Format
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table

SPREAD = "± is half of a 95 % interval over draws (Student t); seeds are averaged within each draw first"
LOST = "lost: a cell of the method failed in so many draws; these are not in its mean, and count as beaten below"
FEWER = "fewer seeds or methods than the others have, not failed: draw"
COUNTED = (
    "a/b: in a of b draws the row beat the column; in the others it did not, or the two were equal; a failed cell loses"
)
RESOLVED = "* better than the column: paired by draw (Student t), Holm-corrected for the {} pairs of the table"
UNPAIRED = "the test leaves out draws in which a cell of one of the two failed"
NUMBERS = ("won", "draws", "mean", "low", "high", "n", "p")
DECIDING = ("oracle.regret.train", "oracle.regret.heldout")
"""Metrics that decide, where a suite has them."""


def of_run(run: Path) -> Table | None:
    """Return the table of a run's folder, None if it has one draw."""
    if not reader.further_draws(run):
        return None
    return table(reader.draws(run), planned=planned(reader.run_info(run)))


def planned(info: Mapping[str, Any]) -> int:
    """Return the number of draws that a run is to have, 0 where ``run.json`` does not say."""
    count = info.get("draws")
    return count if isinstance(count, int) else 0


def table(draws: Draws, *, planned: int = 0) -> Table:
    """Return the means over draws, with a matrix for each metric that decides.

    ``planned`` is the number of draws that the run is to have, if more than there are records of.
    """
    metrics = frame.metrics([record for records in draws.values() for record in records])
    shown, decide = column_heads.quality(metrics), deciding(metrics)
    drawn = _best_first(over_draws.rows(draws), decide[0] if decide else None)
    columns, cells = [], []
    for metric in shown:
        column, form = cell_values.column(metric, [one.row for one in drawn])
        columns.append(column)
        cells.append([_mean(one, metric, form, len(draws)) for one in drawn])
    lines = tuple(_line(one, tuple(of[i] for of in cells)) for i, one in enumerate(drawn))
    return Table(
        title=f"Means over {len(draws)} draws of the problem",
        columns=tuple(columns),
        groups=(Group(lines=lines),),
        notes=_notes(drawn, draws, planned),
        then=tuple(_matrix(drawn, metric) for metric in decide),
    )


def deciding(metrics: dict[str, Metric]) -> list[Metric]:
    """Return the regrets, or the first quality metric where there are none."""
    regrets = [metrics[name] for name in DECIDING if name in metrics and metrics[name].measured]
    return regrets or [m for m in column_heads.quality(metrics) if m.measured][:1]


def _best_first(drawn: Sequence[Drawn], metric: Metric | None) -> list[Drawn]:
    def place(one: Drawn) -> float:
        values = one.row.values.get(metric.name) if metric else None
        sign = -1 if metric and metric.better is Better.HIGHER else 1
        return sign * fmean(values.values()) if values else float("inf")

    return sorted(drawn, key=place)


def _mean(one: Drawn, metric: Metric, form: Format, count: int) -> Cell:
    values = one.row.values.get(metric.name)
    if not values:
        return Cell(text="n/a")
    mean = stats.interval(list(values.values()))
    fewer = f"{mean.n} draw{'s' * (mean.n != 1)}" if mean.n < count - len(one.lost) or mean.n == 1 else ""
    return Cell(text=form.text(mean), caveat=fewer, numbers=cell_values.numbers(mean))


def _line(one: Drawn, cells: tuple[Cell, ...]) -> Line:
    how = Counter(str(status).replace("_", " ") for status in one.lost.values())
    lost = ", ".join(f"{count} lost: {status}" for status, count in how.items())
    caveat = lost or ("untrained" if one.row.fixed and "untrained" not in one.row.label else "")
    return Line(label=one.row.label, caveat=caveat, names=_names(one), cells=cells)


def _names(one: Drawn) -> dict[str, str]:
    return {"method": formatting.clean(one.row.method), "variant": formatting.clean(one.row.variant)}


def _matrix(drawn: Sequence[Drawn], metric: Metric) -> Table:
    duels = over_draws.duels(drawn, metric)
    tested = sum(duel.effect.p is not None for duel in duels.values())

    def cell(i: int, j: int) -> Cell:
        if i == j:
            return Cell(text="–")
        return _won(duels[i, j] if i < j else duels[j, i].turned(), metric)

    columns = tuple(
        Column(key=f"{metric.name} beats {one.row.label}", head=one.row.label, unit=metric.unit, numbers=NUMBERS)
        for one in drawn
    )
    places = range(len(drawn))
    lines = tuple(
        Line(label=one.row.label, names=_names(one), cells=tuple(cell(i, j) for j in places))
        for i, one in enumerate(drawn)
    )
    notes = (COUNTED, RESOLVED.format(tested), *((UNPAIRED,) if any(one.lost for one in drawn) else ()))
    head = formatting.clean(column_heads.head(metric.name))
    return Table(
        title=f"Draws in which the row beat the column: {head}",
        columns=columns,
        groups=(Group(lines=lines),),
        notes=notes,
    )


def _won(duel: Duel, metric: Metric) -> Cell:
    if not duel.draws:
        return Cell(text="n/a")
    effect = duel.effect
    better = effect.resolved and metric.improves(effect.mean, 0.0)
    numbers = {"won": float(duel.won), "draws": float(duel.draws), **cell_values.numbers(effect, NUMBERS[2:])}
    return Cell(text=f"{duel.won}/{duel.draws}", best=better, numbers=numbers)


def _notes(drawn: Sequence[Drawn], draws: Draws, planned: int) -> tuple[str, ...]:
    trained = [one for one in drawn if not one.row.fixed]
    usual = {one.name: frozenset().union(*one.seeds.values()) for one in trained}
    fewer = [n for n in draws if any(n not in one.lost and one.seeds.get(n) != usual[one.name] for one in trained)]
    missing = [str(n) for n in range(planned) if n not in draws]
    return (
        SPREAD,
        *((LOST,) if any(one.lost for one in drawn) else ()),
        *((f"{FEWER} {', '.join(map(str, fewer))}",) if fewer else ()),
        *((f"not finished, without a record: draw {', '.join(missing)}",) if missing else ()),
    )
