"""Whether a published number and ours agree, and in which words that is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Row
from una_bench.reporting.tables import cell_values

ROUNDING = 0.00005
"""Half of the last digit that the paper prints, as a fraction: its percents have two decimals."""


class Verdict(StrEnum):
    """What a comparison of one number came to."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNRESOLVED = "not resolved"
    NOT_RUN = "not run"
    INCOMPARABLE = "not comparable"


MEANINGS = (
    "agrees: the published number lies in our 95 % interval, over seeds, and over documents where their error is known",
    "differs: it lies outside of an interval that covers seeds; the published numbers have no interval of their own",
    "not resolved: it lies outside, but one seed cannot say how far another training would have come out; or there is "
    "no interval",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our value with its interval."""

    estimate: stats.Estimate
    covers_seeds: bool
    """Whether the interval covers training again: several seeds, or nothing was trained."""


def ours(row: Row | None, metric: str) -> Ours | None:
    """Return a row's value of a metric; of one trained seed the interval covers documents alone."""
    found = cell_values.estimate(row, metric) if row is not None else None
    if row is None or found is None:
        return None
    if found.low is None and found.n == 1 and (errors := row.errors.get(metric)):
        return Ours(estimate=aggregate.over_documents(found.mean, *errors.values()), covers_seeds=False)
    return Ours(estimate=found, covers_seeds=found.low is not None)


def judge(published: float, found: Ours | None, *, incomparable: bool, rounding: float = ROUNDING) -> Verdict:
    """Compare one published number with ours, both in the same unit."""
    if found is None:
        return Verdict.NOT_RUN
    if incomparable:
        return Verdict.INCOMPARABLE
    low, high = found.estimate.low, found.estimate.high
    if low is None or high is None:
        return Verdict.UNRESOLVED
    if low - rounding <= published <= high + rounding:
        return Verdict.AGREES
    return Verdict.DIFFERS if found.covers_seeds else Verdict.UNRESOLVED


def ratio(first: Row | None, second: Row | None, metric: str) -> Ours | None:
    """Return the ratio of two rows' values of a metric, seed by seed."""
    a, b = (row.values.get(metric, {}) if row is not None else {} for row in (first, second))
    ratios = [a[seed] / b[seed] for seed in sorted(a.keys() & b.keys())]
    if not ratios:
        return None
    found = stats.interval(ratios)
    return Ours(estimate=found, covers_seeds=found.low is not None)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Count verdicts in words."""
    counts = ((verdict, verdicts.count(verdict)) for verdict in Verdict)
    return ", ".join(f"{verdict}: {count}" for verdict, count in counts if count) or "nothing was compared"
