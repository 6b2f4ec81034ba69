"""Comparison of several runs: methods x runs with differences, and one ranked table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from una_bench import formatting
from una_bench.analysis import aggregate, frame, stats
from una_bench.analysis.frame import Metric, Row
from una_bench.errors import UserError
from una_bench.record import reader
from una_bench.record.schema import Better
from una_bench.reporting.tables import cell_values, column_heads, comparable_runs, results_table
from una_bench.reporting.tables.comparable_runs import Run, load, refusal
from una_bench.reporting.tables.differences import DIFFERENCE, PAIRED, UNRESOLVED, difference_cell
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table

FRONT = ("throughput.tokens_per_second", "memory.peak")
"""Metrics of the Pareto mark besides quality, where measured."""
ON_FRONT = "Pareto: no other row is at least as good, as fast and as small, and better in one of these"


def across(runs: Sequence[Path], baseline: str | None = None) -> Table:
    """Return methods x runs for each metric of the main table, with each run's difference to the first.

    With a ``baseline`` method, a second table has each method's difference to it, run by run.
    """
    loaded = load(runs)
    metrics = column_heads.main(frame.metrics([r for run in loaded for r in run.records]))
    order = reader.in_order([r for run in loaded for r in run.records])
    names = list(dict.fromkeys((r.method, r.variant) for r in order))
    columns = [Column(key=run.name, head=run.name, unit="") for run in loaded]
    columns += [_difference_column(f"{run.name} − {loaded[0].name}") for run in loaded[1:]]
    groups = [_metric_group(metric, names, loaded) for metric in metrics]
    more = (PAIRED, UNRESOLVED, "refused: the two runs are not comparable, for the reason given")
    notes = (results_table.SPREAD, *(more if runs[1:] else ()), *comparable_runs.notes(loaded))
    then = (_to_baseline(metrics, names, loaded, baseline),) if baseline else ()
    return Table(title="Runs", columns=tuple(columns), groups=tuple(groups), notes=notes, then=then)


def _difference_column(head: str) -> Column:
    return Column(key=head, head=head, unit="", numbers=DIFFERENCE)


def _metric_group(metric: Metric, names: Sequence[tuple[str, str]], loaded: Sequence[Run]) -> Group:
    having = [n for n in names if any(n in run.rows and run.rows[n].values.get(metric.name) for run in loaded)]
    column, form = cell_values.column(metric, [run.rows[n] for run in loaded for n in having if n in run.rows])
    cells = [[_value(run.rows.get(n), metric, form) for n in having] for run in loaded]
    cells += [_differences(metric, having, loaded[0], run, form) for run in loaded[1:]]
    lines = tuple(_line(name, metric, loaded, tuple(column[i] for column in cells)) for i, name in enumerate(having))
    return Group(heading=column.head, lines=lines)


def _line(name: tuple[str, str], metric: Metric, loaded: Sequence[Run], cells: tuple[Cell, ...]) -> Line:
    method, variant = map(formatting.clean, name)
    names = {"metric": metric.name, "unit": metric.unit, "method": method, "variant": variant}
    return Line(label=next(run.rows[name].label for run in loaded if name in run.rows), names=names, cells=cells)


def _value(row: Row | None, metric: Metric, form: cell_values.Format) -> Cell:
    estimate = cell_values.estimate(row, metric.name) if row else None
    if row is None or estimate is None:
        return Cell(text="n/a" if row is None or not row.failed else str(row.failed[0].status).replace("_", " "))
    return cell_values.value_cell(row, estimate, form)


def _differences(
    metric: Metric, names: Sequence[tuple[str, str]], first: Run, other: Run, form: cell_values.Format
) -> list[Cell]:
    reasons = {n: refusal(first.rows.get(n), other.rows.get(n), metric) for n in names}
    allowed = [n for n, reason in reasons.items() if not reason]
    effects = stats.paired([(other.rows[n].values[metric.name], first.rows[n].values[metric.name]) for n in allowed])
    by_name = dict(zip(allowed, effects, strict=True))
    return [
        Cell(text="refused", caveat=reason)
        if reason not in {"", "n/a"}
        else difference_cell(by_name.get(n), metric, form)
        for n, reason in reasons.items()
    ]


def _to_baseline(
    metrics: Sequence[Metric], names: Sequence[tuple[str, str]], loaded: Sequence[Run], baseline: str
) -> Table:
    every = [row for run in loaded for row in run.rows.values()]
    base = frame.find(every, baseline)
    bases = [(run, run.rows.get((base.method, base.variant))) for run in loaded]
    others = [n for n in names if n != (base.method, base.variant)]
    groups = []
    for metric in metrics:
        column, form = cell_values.column(metric, every)
        cells = [_against(metric, others, run, base_of_run, form) for run, base_of_run in bases]
        lines = (_line(n, metric, loaded, tuple(c[i] for c in cells)) for i, n in enumerate(others))
        groups.append(Group(heading=column.head, lines=tuple(lines)))
    to = f"to {base.label}"
    columns = tuple(replace(_difference_column(run.name), key=f"{run.name} {to}") for run in loaded)
    title = f"Difference {to}, run by run"
    return Table(title=title, columns=columns, groups=tuple(groups), notes=(PAIRED, UNRESOLVED))


def _against(
    metric: Metric, names: Sequence[tuple[str, str]], run: Run, base: Row | None, form: cell_values.Format
) -> list[Cell]:
    if base is None or not base.values.get(metric.name):
        return [Cell(text="n/a") for _ in names]
    rows = {n: run.rows[n] for n in names if n in run.rows and run.rows[n].values.get(metric.name)}
    effects = stats.paired([cell_values.matched(row, base, metric.name) for row in rows.values()])
    by_name = dict(zip(rows, effects, strict=True))
    return [difference_cell(by_name.get(n), metric, form) for n in names]


def leaderboard(runs: Sequence[Path]) -> Table:
    """Return one table of all rows of all runs, best first within each comparable group, with Pareto marks."""
    loaded = load(runs)
    records = [r for run in loaded for r in run.records]
    metrics = frame.metrics(records)
    quality = column_heads.primary(metrics)
    if quality is None:
        raise UserError("These runs have no quality metric to rank by. Add a benchmark that has one, such as oracle.")
    rows = aggregate.with_task_means(frame.rows(records, by_run=len(loaded) > 1), column_heads.tasks(metrics))
    sign = 1 if quality.better is Better.HIGHER else -1
    rows.sort(key=lambda r: -sign * fmean(v.values()) if (v := r.values.get(quality.name)) else float("inf"))
    main = [m for m in column_heads.main(metrics) if m.name != quality.name]
    unranked = results_table.of_metrics(
        f"Leaderboard by {column_heads.head(quality.name)}", rows, [quality, *main], baseline=None
    )
    rank = Column(key="rank", head="rank", numbers=("mean",), unit="")
    mark = Column(key="pareto", head="Pareto", numbers=())
    groups = [
        _ranked(group, members, quality, metrics)
        for group, (_, members) in zip(unranked.groups, results_table.grouped(rows), strict=True)
    ]
    columns = (rank, *unranked.columns, mark)
    notes = (*unranked.notes, ON_FRONT, *comparable_runs.notes(loaded))
    return replace(unranked, columns=columns, groups=tuple(groups), notes=notes)


def _ranked(group: Group, rows: Sequence[Row], quality: Metric, metrics: dict[str, Metric]) -> Group:
    goals = [quality, *(metrics[n] for n in FRONT if n in metrics)]
    judged = [i for i, row in enumerate(rows) if all(row.values.get(goal.name) for goal in goals)]
    signs = [1 if goal.better is Better.HIGHER else -1 for goal in goals]
    points = [[s * fmean(rows[i].values[g.name].values()) for g, s in zip(goals, signs, strict=True)] for i in judged]
    on_front = {judged[i] for i in stats.front(points)}
    ranked = [i for i, row in enumerate(rows) if row.values.get(quality.name)]
    places = stats.places([-signs[0] * fmean(rows[i].values[quality.name].values()) for i in ranked])
    rank_of = dict(zip(ranked, places, strict=True))
    lines = []
    for i, line in enumerate(group.lines):
        place = rank_of.get(i)
        rank = Cell(text=str(place), numbers={"mean": float(place)}) if place else Cell(text="n/a")
        mark = Cell(text="Pareto" if i in on_front else "–" if i in judged else "n/a")
        lines.append(replace(line, cells=(rank, *line.cells, mark)))
    return replace(group, lines=tuple(lines))
