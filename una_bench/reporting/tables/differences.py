"""Differences to a baseline row, paired by seed and corrected for multiple comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from una_bench import formatting
from una_bench.analysis import documents as by_documents
from una_bench.analysis import frame, stats
from una_bench.analysis.documents import Scores
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import Better
from una_bench.reporting.tables.cell_values import Format, column, line, matched, numbers
from una_bench.reporting.tables.table import Cell, Group, Line, Table

PAIRED = (
    "differences are paired by seed; ± is half of a 95 % interval (Student t), "
    "Holm-corrected for the number of rows in the column"
)
PAIRED_DOCUMENTS = "differences of tasks with saved documents are also paired by document; ± covers seeds and documents"
SEEDS_ALONE = "over seeds alone: the sampling of prompts and documents is not counted"
UNRESOLVED = "not resolved: the interval contains zero"
DETECTABLE = "last row: the smallest true difference that these seeds detect with 80 % power, in the noisiest row"
DIFFERENCE = ("mean", "low", "high", "n", "p", "detectable")


def to_baseline(
    rows: Sequence[Row], metrics: Sequence[Metric], *, baseline: str, documents: Scores | None = None
) -> Table:
    """Return each row minus the baseline, paired by seed (and by document, if saved), with Holm's correction."""
    base = frame.find(rows, baseline)
    comparable = [r for r in rows if r.context == base.context and r is not base]
    columns, cells, detectable = [], [], []
    for metric in metrics:
        having = [r for r in comparable if r.values.get(metric.name)] if base.values.get(metric.name) else []
        effects = paired(having, base, metric.name, documents or {})
        head, form = column(metric, rows, differences=effects)
        by_row = {id(r): e for r, e in zip(having, effects, strict=True)}
        columns.append(replace(head, key=f"{head.key} difference", numbers=DIFFERENCE))
        cells.append([difference_cell(by_row.get(id(r)), metric, form) for r in comparable])
        largest = max((e.detectable for e in effects if e.detectable is not None), default=None)
        text = "n/a" if largest is None else formatting.half(largest / form.factor, form.decimals)
        detectable.append(Cell(text=text))
    lines = [line(row, tuple(entries[i] for entries in cells)) for i, row in enumerate(comparable)]
    any_detectable = any(cell.text != "n/a" for cell in detectable)
    if any_detectable:
        lines.append(Line(label="smallest detectable difference", names={}, cells=tuple(detectable)))
    refused = [r.label for r in rows if r.context != base.context]
    return Table(
        title=f"Difference to {base.label}",
        columns=tuple(columns),
        groups=(Group(lines=tuple(lines)),),
        notes=(
            PAIRED,
            *([PAIRED_DOCUMENTS] if documents else []),
            UNRESOLVED,
            *([DETECTABLE] if any_detectable else []),
            *([f"refused, not comparable with the baseline: {', '.join(refused)}"] if refused else []),
        ),
    )


def paired(rows: Sequence[Row], base: Row, metric: str, documents: Scores) -> list[stats.Effect]:
    """Return differences paired by seed and document if every row has its documents, else by seed."""
    by_document = by_documents.paired(rows, base, metric, documents) if documents else None
    return stats.paired([matched(row, base, metric) for row in rows]) if by_document is None else by_document


def over_seeds_alone(rows: Sequence[Row], metric: str, documents: Scores) -> bool:
    """Return whether differences leave out the sampling of documents, though the metric has an error over them."""
    known = (r for row in rows for r in row.records if row.errors.get(metric, {}).get(r.seed))
    return any((r.cell, metric) not in documents for r in known)


def difference_cell(effect: stats.Effect | None, metric: Metric, form: Format) -> Cell:
    """Return the cell of one difference with its verdict."""
    if effect is None or effect.n == 0:
        return Cell(text="n/a")
    if effect.p is None:
        verdict = "1 seed" if effect.n == 1 else "not finite"
    elif not effect.resolved:
        verdict = "not resolved"
    elif metric.better is Better.NEITHER:
        verdict = ""
    else:
        verdict = "better" if (effect.mean > 0) == (metric.better is Better.HIGHER) else "worse"
    return Cell(text=form.text(effect, sign=True), caveat=verdict, numbers=numbers(effect, DIFFERENCE))
