"""Rows for the best of n samples of the untrained policy, a policy at no training cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from una_bench.analysis.frame import Row

METHOD = "best_of_n"
METRIC = re.compile(r"oracle\.best_of_(\d+)\.(.+)")
"""Figures of the best of n in the record of the untrained policy: n, and the metric without its family."""


def with_best_of(rows: Sequence[Row]) -> list[Row]:
    """Add a row for each n after each untrained row that has figures of the best of n."""
    return [one for row in rows for one in (row, *(_row(row, n) for n in _sizes(row)))]


def _sizes(row: Row) -> list[int]:
    return sorted({int(match[1]) for name in row.values if (match := METRIC.fullmatch(name))})


def _row(row: Row, n: int) -> Row:
    matches = [match for name in row.values if (match := METRIC.fullmatch(name)) and int(match[1]) == n]
    recorded = {f"oracle.{match[2]}": match[0] for match in matches}
    return replace(
        row,
        method=METHOD,
        variant=f"n={n}",
        label=f"Best of {n} (no training)",
        values={metric: row.values[name] for metric, name in recorded.items()},
        errors={metric: row.errors[name] for metric, name in recorded.items() if name in row.errors},
        not_run={},
        recorded=recorded,
    )
