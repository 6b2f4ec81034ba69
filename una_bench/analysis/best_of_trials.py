"""Expected best of n trials, over all subsets of n of the trials that were made.

Dodge et al. 2019 ("Show Your Work", arXiv:1909.03004) estimate it for draws with replacement, which is biased towards
the worse; over subsets the estimate has no bias (Tang et al. 2020, "Showing Your Work Doesn't Always Work"). The trials
must be independent draws from one space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

BAND = 0.8
"""Share of the subsets whose best lies in the band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOf:
    """Best value of n trials: its mean, and the band that holds the middle `BAND` of all subsets."""

    n: int
    mean: float
    low: float
    high: float


def of_trials(values: Sequence[float], n: int, *, higher: bool) -> BestOf:
    """Return the best of ``n`` of these trials; the value at rank i is the best of C(i − 1, n − 1) of C(N, n) subsets.

    Args:
        values: Result of every trial, N of them, failed ones included.
        n: Trials of a subset, 1 to N.
        higher: Whether higher is better.
    """
    ordered = sorted(values, reverse=not higher)  # worst first
    subsets = comb(len(ordered), n)
    shares = [comb(rank, n - 1) / subsets for rank in range(len(ordered))]
    mean = sum(share * value for share, value in zip(shares, ordered, strict=True))
    ends = [_quantile(ordered, shares, tail) for tail in ((1 - BAND) / 2, (1 + BAND) / 2)]
    return BestOf(n=n, mean=mean, low=min(ends), high=max(ends))


def _quantile(ordered: Sequence[float], shares: Sequence[float], level: float) -> float:
    """Return the first value that at least ``level`` of the subsets do not exceed in quality."""
    total = 0.0
    for share, value in zip(shares, ordered, strict=True):
        total += share
        if total >= level - 1e-12:
            return value
    return ordered[-1]
