"""Verdicts on whether a published number and ours agree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Row
from una_bench.reporting.tables import cell_values

ROUNDING = 0.00005
"""Half of the last digit printed in the paper, as a fraction: percentages have two decimals."""


class Verdict(StrEnum):
    """Result of comparing one number."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNRESOLVED = "not resolved"
    NOT_RUN = "not run"
    INCOMPARABLE = "not comparable"


MEANINGS = (
    "agrees: the published number lies in our 95 % interval, over seeds, and over documents if their error is known",
    "differs: it lies outside an interval over seeds; the published numbers have no interval",
    "not resolved: it lies outside, but the interval does not cover seeds (one seed), or there is no interval",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our value with its interval."""

    estimate: stats.Estimate
    covers_seeds: bool
    """Whether the interval covers the spread over seeds: several seeds, or an untrained policy."""


def ours(row: Row | None, metric: str) -> Ours | None:
    """Return a row's value of a metric; for a single trained seed the interval covers documents alone."""
    mean = cell_values.estimate(row, metric) if row is not None else None
    if row is None or mean is None:
        return None
    if mean.low is None and mean.n == 1 and (errors := row.errors.get(metric)):
        return Ours(estimate=aggregate.over_documents(mean.mean, *errors.values()), covers_seeds=False)
    return Ours(estimate=mean, covers_seeds=mean.low is not None)


def judge(published: float, value: Ours | None, *, incomparable: bool, rounding: float = ROUNDING) -> Verdict:
    """Compare one published number with ours, both in the same unit."""
    if value is None:
        return Verdict.NOT_RUN
    if incomparable:
        return Verdict.INCOMPARABLE
    low, high = value.estimate.low, value.estimate.high
    if low is None or high is None:
        return Verdict.UNRESOLVED
    if low - rounding <= published <= high + rounding:
        return Verdict.AGREES
    return Verdict.DIFFERS if value.covers_seeds else Verdict.UNRESOLVED


def ratio(first: Row | None, second: Row | None, metric: str) -> Ours | None:
    """Return the ratio of two rows' values of a metric, paired by seed."""
    a, b = (row.values.get(metric, {}) if row is not None else {} for row in (first, second))
    ratios = [a[seed] / b[seed] for seed in sorted(a.keys() & b.keys())]
    if not ratios:
        return None
    mean = stats.interval(ratios)
    return Ours(estimate=mean, covers_seeds=mean.low is not None)
