"""Result tables: mean and interval of each method and metric, with marks for the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from una_bench import formatting
from una_bench.analysis import aggregate, best_of, frame
from una_bench.analysis.documents import Scores
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import Better, Record
from una_bench.reporting.tables import cell_values, column_heads, differences
from una_bench.reporting.tables.cell_values import Format, column, estimate, line
from una_bench.reporting.tables.table import Cell, Group, Line, Table

BEST = "* best in its column: its difference to every other row with two seeds or more is resolved"
TIED = "~ not resolved from the best in its column"
ONE_SEED = "(1 seed): one seed gives no interval"
SPREAD = "± is half of a 95 % interval over seeds (Student t)"
DOCUMENTS = "± of tasks also covers the sampling of documents (standard errors of the benchmark)"
MISSING = "n/a: not measured"
BEST_OF_N = "best of n: the sample with the highest true reward among n of the untrained policy; n times the generation"
ESTIMATED = (
    "regret is estimated from samples, with bounds of the optimum on both sides; its ± also covers prompts and samples"
)
RESUMED = "resumed; downtime excluded"
UNRESOLVED = "not resolved"
"""How a benchmark begins to say why it gives no number."""
REASON = 160
"""Most characters shown of the reason why a task was not run."""


def results(records: Sequence[Record], *, baseline: str | None = None, documents: Scores | None = None) -> Table:
    """Return the main table: a row for each method and variant, mean ± interval over seeds.

    With a ``baseline`` (a method, ``method[variant]`` or label) a table of paired differences follows; with
    ``documents`` (`una_bench.analysis.documents.scores`) those of tasks are also paired by document.
    """
    metrics = frame.metrics(records)
    rows = best_of.with_best_of(aggregate.with_task_means(frame.rows(records), column_heads.tasks(metrics)))
    chosen = column_heads.main(metrics)
    if len(column_heads.tasks(metrics)) > column_heads.MOST_TASKS:
        at = next((i for i, m in enumerate(chosen) if m.name.startswith(("throughput.", "memory."))), len(chosen))
        chosen.insert(at, aggregate.IQM)
    return of_metrics("Results", rows, chosen, baseline=baseline, documents=documents)


def tasks(records: Sequence[Record], *, baseline: str | None = None, documents: Scores | None = None) -> Table | None:
    """Return the table of each task's first metric, their mean and interquartile mean; None without tasks."""
    chosen = column_heads.tasks(frame.metrics(records))
    if not chosen:
        return None
    rows = aggregate.with_task_means(frame.rows(records), chosen)
    more = [aggregate.MEAN, aggregate.IQM] if len(chosen) > 1 else []
    return of_metrics("Task scores", rows, [*chosen, *more], baseline=baseline, documents=documents)


def judged(records: Sequence[Record]) -> Table | None:
    """Return the table of all figures of the judge, its position bias and agreement among them; None without any."""
    chosen = [metric for name, metric in frame.metrics(records).items() if name.startswith("judge.")]
    if not chosen:
        return None
    table = of_metrics("Judged answers", frame.rows(records), chosen, baseline=None)
    hows = {m.metric: m.how for r in records for m in r.measurements if m.metric.startswith("judge.") and m.samples}
    notes = (f"{formatting.clean(column_heads.head(name))}: {formatting.clean(how)}" for name, how in hows.items())
    return replace(table, notes=(*table.notes, *notes))


def leaderboards(records: Sequence[Record], *, baseline: str | None = None) -> list[Table]:
    """Return a table for each leaderboard and scoring in the records."""
    rows = frame.rows(records)
    by_title = column_heads.leaderboards(frame.metrics(records))
    return [of_metrics(title, rows, metrics, baseline=baseline) for title, metrics in by_title.items()]


def of_metrics(
    title: str, rows: Sequence[Row], metrics: Sequence[Metric], *, baseline: str | None, documents: Scores | None = None
) -> Table:
    """Return the table of ``metrics``, followed by the differences to the baseline if one is named."""
    columns = [column(m, rows) for m in metrics]
    groups = []
    for heading, members in grouped(rows):
        most = max((len(v) for row in members for v in row.values.values()), default=0)
        cells = [
            _result_cells(members, m, form, most, documents or {})
            for m, (_, form) in zip(metrics, columns, strict=True)
        ]
        of_rows = (line(row, tuple(entries[i] for entries in cells)) for i, row in enumerate(members))
        groups.append(Group(heading=heading, lines=tuple(of_rows)))
    lines = [one for group in groups for one in group.lines]
    then = (differences.to_baseline(rows, metrics, baseline=baseline, documents=documents),) if baseline else ()
    shown = tuple(head for head, _ in columns)
    return Table(
        title=title, columns=shown, groups=tuple(groups), notes=_notes(lines, rows, metrics, documents or {}), then=then
    )


def grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return groups of comparable rows, each under a heading with what sets it apart; none for a single group."""
    contexts = list(dict.fromkeys(row.context for row in rows))
    return [
        (
            f"Not comparable with the other groups: {context.unlike(contexts)}" if len(contexts) > 1 else "",
            [row for row in rows if row.context == context],
        )
        for context in contexts
    ]


def _result_cells(rows: Sequence[Row], metric: Metric, form: Format, most: int, documents: Scores) -> list[Cell]:
    best, tied = _leaders(rows, metric, documents)
    cells = []
    for i, row in enumerate(rows):
        mean = estimate(row, metric.name)
        if mean is None:
            cells.append(Cell(text=_missing(row, metric)))
            continue
        fewer = mean.n < most - len(row.failed)  # failed seeds are named beside the label
        cell = cell_values.value_cell(row, mean, form, fewer=fewer)
        cells.append(replace(cell, best=i == best, tied=i in tied))
    return cells


def _missing(row: Row, metric: Metric) -> str:
    """Return why a row has no value."""
    if len(row.failed) == len(row.records):
        return str(row.failed[0].status).replace("_", " ")
    if row.not_run.get(metric.name, "").startswith(UNRESOLVED):
        return UNRESOLVED
    return "not run" if metric.name in row.not_run else "n/a"


def _leaders(rows: Sequence[Row], metric: Metric, documents: Scores) -> tuple[int | None, set[int]]:
    """Return the index of the best row if its lead is resolved, otherwise the rows not resolved from it."""
    means = {i: fmean(v.values()) for i, row in enumerate(rows) if (v := row.values.get(metric.name))}
    several = [i for i in means if rows[i].fixed or len(rows[i].values[metric.name]) > 1]
    if metric.better is Better.NEITHER or len(several) < 2 or not all(map(math.isfinite, means.values())):
        return None, set()
    pick: Callable[..., int] = max if metric.better is Better.HIGHER else min
    best = pick(several, key=means.__getitem__)
    if pick(means, key=means.__getitem__) not in several:
        return None, set()  # a row with one seed is ahead: no interval
    others = [i for i in several if i != best and not _exactly_apart(rows[i], rows[best], metric.name)]
    effects = differences.paired([rows[i] for i in others], rows[best], metric.name, documents)
    tied = {i for i, effect in zip(others, effects, strict=True) if not effect.resolved}
    return (None, {best, *tied}) if tied else (best, set())


def _exactly_apart(a: Row, b: Row, metric: str) -> bool:
    """Return whether two untrained rows differ in figures that have no error."""
    exact = a.fixed and b.fixed and not a.errors.get(metric) and not b.errors.get(metric)
    return exact and a.values[metric] != b.values[metric]


def _notes(lines: Sequence[Line], rows: Sequence[Row], metrics: Sequence[Metric], documents: Scores) -> tuple[str, ...]:
    cells = [cell for one in lines for cell in one.cells]
    applies: Mapping[str, bool] = {
        SPREAD: any("±" in c.text for c in cells),
        DOCUMENTS: any(row.errors.get(m.name) for row in rows for m in metrics),
        ONE_SEED: any(c.caveat == "1 seed" for c in cells),
        BEST: any(c.best for c in cells),
        TIED: any(c.tied for c in cells),
        MISSING: any(c.text == "n/a" for c in cells),
        f"* and ~ are {differences.SEEDS_ALONE}": any(
            (c.best or c.tied) and differences.over_seeds_alone(rows, m.name, documents)
            for one in lines
            for m, c in zip(metrics, one.cells, strict=True)
        ),
        BEST_OF_N: any(row.method == best_of.METHOD for row in rows),
        ESTIMATED: any(m.metric.startswith("optimum.") for row in rows for r in row.records for m in r.measurements),
    }
    reasons = {m.name: row.not_run[m.name] for m in metrics for row in rows if m.name in row.not_run}
    not_run = (
        f"{formatting.clean(column_heads.head(name))}: {formatting.clean(reason)[:REASON]}"
        for name, reason in reasons.items()
    )
    return (*(note for note, holds in applies.items() if holds), *_resumed(rows, metrics), *not_run)


def _resumed(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[str]:
    """Name the rows whose speed was measured in more than one process."""
    if not any(m.name.startswith("throughput.") for m in metrics):
        return []
    counts = {row.label: sum(bool(r.facts.get("resumed")) for r in row.records) for row in rows}
    cells = [f"{label} ({count} of its cells)" for label, count in counts.items() if count]
    return [f"{RESUMED}: {', '.join(cells)}"] if cells else []
