"""Tables of a tuned run: each method at the suite's settings and after tuning, and what the trials were worth."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, quantiles

from una_bench import formatting
from una_bench.analysis import frame, stats
from una_bench.analysis.frame import Metric, Row
from una_bench.analysis.tuning import Search, Tuning
from una_bench.record.schema import Better, Record
from una_bench.reporting.tables import cell_values, column_heads, differences
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table

MOST_METRICS = 2
"""Quality metrics shown before and after tuning."""
EDGE = "at the edge"
PAIRED = "change: after tuning minus before, paired by seed; ± is half of a 95 % interval (Student t), Holm-corrected"
PLACE = "place: rank among the methods by the first metric, at the suite's settings → after tuning"
EXPECTED = (
    "best of n: expected best validation result of n trials, the mean over all subsets of n of the trials; a failed "
    "trial counts as spent, with the value of the untrained policy"
)
SPREAD = "middle half and worst: over all trials; a method that needs a lucky corner of its space shows it here"
AT_EDGE = f"{EDGE}: in the outer tenth of its range, so that a better value may lie outside"
NEW_SEEDS = "the winners were trained again with the suite's seeds, none of which a trial had"


def before_and_after(defaults: Sequence[Record], tuned: Sequence[Record]) -> Table | None:
    """Return the table at the suite's settings beside that after tuning; None if nothing can be compared."""
    metrics = column_heads.quality(frame.metrics(tuned))[:MOST_METRICS]
    after = {(row.method, row.variant): row for row in frame.rows(tuned) if not row.fixed}
    pairs = [(row, after[key]) for row in frame.rows(defaults) if (key := (row.method, row.variant)) in after]
    if not metrics or not pairs:
        return None
    columns: list[Column] = []
    cells: list[list[Cell]] = [[] for _ in pairs]
    for metric in metrics:
        heads, parts = _metric(metric, pairs)
        columns += heads
        for line, part in zip(cells, parts, strict=True):
            line += part
    columns.append(Column(key="place", head="place", numbers=()))
    for line, place in zip(cells, _places(metrics[0], pairs), strict=True):
        line.append(Cell(text=place))
    lines = [cell_values.line(old, tuple(line)) for (old, _), line in zip(pairs, cells, strict=True)]
    return Table(
        title="At the suite's settings and after tuning",
        columns=tuple(columns),
        groups=(Group(lines=tuple(lines)),),
        notes=(NEW_SEEDS, PAIRED, PLACE),
    )


def _metric(metric: Metric, pairs: Sequence[tuple[Row, Row]]) -> tuple[list[Column], list[list[Cell]]]:
    """Return the columns of one metric: before, after, and the change."""
    effects = stats.paired([cell_values.matched(new, old, metric.name) for old, new in pairs])
    head, form = cell_values.column(metric, [row for pair in pairs for row in pair])
    columns = [
        Column(key=f"{metric.name} {part}", head=f"{head.head}, {part}", unit=metric.unit, numbers=numbers)
        for part, numbers in (
            ("suite's settings", head.numbers),
            ("tuned", head.numbers),
            ("change", differences.DIFFERENCE),
        )
    ]
    cells = []
    for pair, effect in zip(pairs, effects, strict=True):
        estimates = [cell_values.estimate(row, metric.name) for row in pair]
        shown = [
            Cell(text=_status(row)) if mean is None else cell_values.value_cell(row, mean, form)
            for row, mean in zip(pair, estimates, strict=True)
        ]
        cells.append([*shown, differences.difference_cell(effect, metric, form)])
    return columns, cells


def _status(row: Row) -> str:
    return str(row.failed[0].status).replace("_", " ") if row.failed else "n/a"


def _places(metric: Metric, pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """Return each method's rank before and after; none where it has no value."""
    sign = -1 if metric.better is Better.HIGHER else 1
    places: list[list[str]] = [[], []]
    for side, shown in enumerate(places):
        rows = [pair[side] for pair in pairs]
        means = [fmean(v.values()) if (v := row.values.get(metric.name)) else None for row in rows]
        ranks = iter(stats.places([sign * mean for mean in means if mean is not None]))
        shown += ["–" if mean is None else str(next(ranks)) for mean in means]
    return [f"{before} → {now}" for before, now in zip(*places, strict=True)]


def trials(tuning: Tuning) -> Table:
    """Return what the trials of each method found on validation data, and what they were worth."""
    counts = _counts(tuning.trials)
    word = ("↑ " if tuning.better is Better.HIGHER else "↓ ") + column_heads.head(tuning.metric)
    heads = [f"{word}, suite's settings", *(f"best of {n}" for n in counts), "middle half", "worst", "failed"]
    columns = [Column(key=head, head=head, numbers=("mean",)) for head in heads[: 1 + len(counts)]]
    columns += [Column(key=head, head=head, numbers=()) for head in heads[1 + len(counts) :]]
    columns.append(Column(key="seconds per trial", head="training of a trial [s]", unit="s", numbers=("mean",)))
    columns.append(Column(key="chosen", head="chosen settings", numbers=(), wraps=True))
    lines = [_line(search, counts) for search in tuning.searches]
    share = "" if tuning.budget_share == 1 else f" of {tuning.budget_share:g} of the budget"
    many = f", {tuning.trainings_per_trial} trainings each" if tuning.trainings_per_trial > 1 else ""
    notes = (
        f"{tuning.trials} trials{share} of every method{many}; the same random quantiles of each one's ranges",
        EXPECTED,
        SPREAD,
        *([AT_EDGE] if any(_edges(search) for search in tuning.searches) else []),
    )
    return Table(
        title="What tuning was worth", columns=tuple(columns), groups=(Group(lines=tuple(lines)),), notes=notes
    )


def _counts(most: int) -> list[int]:
    """Return 1, 2, 4, … and the number of trials."""
    return [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if n < most] + [most]


def _line(search: Search, counts: Sequence[int]) -> Line:
    expected = search.expected_best()
    best = [_number(expected[n - 1].mean) for n in counts] if expected else [Cell(text="n/a") for _ in counts]
    spread = [Cell(text="n/a"), Cell(text="n/a")]
    if expected:
        low, _, high = quantiles(search.values, n=4, method="inclusive")
        worst = (min if search.higher else max)(search.values)
        spread = [Cell(text=f"{formatting.short(low)} to {formatting.short(high)}"), Cell(text=formatting.short(worst))]
    defaults = _number(fmean(search.at_defaults)) if search.at_defaults else Cell(text="n/a")
    names = {"method": formatting.clean(search.method), "variant": formatting.clean(search.variant)}
    return Line(
        label=formatting.clean(search.label),
        names=names,
        cells=(
            defaults,
            *best,
            *spread,
            Cell(text=str(search.failed) if search.failed else "none"),
            _number(search.seconds_per_trial),
            Cell(text=_settings(search)),
        ),
    )


def _number(value: float) -> Cell:
    return Cell(text=formatting.short(value), numbers={"mean": value})


def _edges(search: Search) -> tuple[str, ...]:
    return () if search.chosen is None else search.trials[search.chosen].at_edge


def _settings(search: Search) -> str:
    """Return the chosen settings with their ranges."""
    if search.chosen is None:
        statuses = {str(r.status).replace("_", " ") for trial in search.trials for r in trial.records}
        return f"none: no trial has a result ({', '.join(sorted(statuses))})"
    parts = []
    for name, value in search.trials[search.chosen].drawn.items():
        low, high = search.space[name]
        edge = f", {EDGE}" if name in _edges(search) else ""
        parts.append(f"{formatting.clean(name)} {value:g} (of {low:g} to {high:g}{edge})")
    return "; ".join(parts)
