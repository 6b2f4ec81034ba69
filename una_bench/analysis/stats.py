"""Means, intervals and paired differences over seeds, corrected for multiple comparisons, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other dominates (higher is better); equal points are all included."""

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    return [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]


def places(values: Sequence[float]) -> list[int]:
    """Return the rank of each value, the lowest first; values that differ by rounding alone share one (1, 1, 3)."""
    return [1 + sum(v < value and not math.isclose(v, value, rel_tol=1e-9) for v in values) for value in values]


LEVEL = 0.95
POWER = 0.8
Seeds = Mapping[int, float]
"""Seed -> value of one row and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds; ``low`` and ``high`` are None for one seed."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Estimate):
    """A mean difference with its interval at ``level``, which includes Holm's correction."""

    p: float | None = None
    """Two-sided, corrected for the number of comparisons."""
    level: float = LEVEL
    spread: float | None = None
    """Standard deviation of the differences over seeds."""

    @property
    def detectable(self) -> float | None:
        """Smallest true difference that this many seeds detect with 80 % power."""
        return detectable(self.spread, self.n, level=self.level) if self.spread else self.spread

    @property
    def resolved(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def stdev(values: Sequence[float]) -> float:
    """Return the sample standard deviation; twenty times as fast as `statistics.stdev`."""
    mean = fmean(values)
    return math.sqrt(math.fsum([(v - mean) ** 2 for v in values]) / (len(values) - 1))


@cache
def t_quantile(level: float, df: float) -> float:
    """Return the half-width of a two-sided interval at ``level``, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def t_pvalue(t: float, df: float) -> float:
    """Return the two-sided p-value of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def interval(values: Sequence[float]) -> Estimate:
    """Return the mean over seeds with its interval (Student t)."""
    n, mean = len(values), fmean(values)
    if n < 2 or not all(map(math.isfinite, values)):
        return Estimate(mean=mean, n=n)
    half = t_quantile(LEVEL, n - 1) * stdev(values) / math.sqrt(n)
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def holm(pvalues: Sequence[float]) -> list[float]:
    """Return p-values corrected after Holm (1979), in the given order."""
    adjusted, running = [0.0] * len(pvalues), 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        running = max(running, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = running
    return adjusted


def holm_levels(pvalues: Sequence[float]) -> list[float]:
    """Return the confidence level of each interval such that it excludes zero exactly if Holm's procedure rejects."""
    alpha, count, stopped = 1 - LEVEL, len(pvalues), 0.0
    levels = [LEVEL] * count
    for rank, index in enumerate(sorted(range(count), key=lambda i: pvalues[i])):
        share = stopped or alpha / (count - rank)
        if not stopped and pvalues[index] > share:
            stopped = share
        levels[index] = 1 - share
    return levels


def detectable(spread: float, n: int, *, level: float = LEVEL) -> float:
    """Return the smallest true mean of ``n`` differences of standard deviation ``spread`` that a t-test detects."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(n - 1, 1 - POWER, t_quantile(level, n - 1))) * spread / math.sqrt(n)


def paired(pairs: Sequence[tuple[Seeds, Seeds]]) -> list[Effect]:
    """Return differences (first minus second) over common seeds, as one family of comparisons under Holm."""
    return family([[a[s] - b[s] for s in sorted(a.keys() & b.keys())] for a, b in pairs])


def family(samples: Sequence[Sequence[float]]) -> list[Effect]:
    """Return the mean of each list of differences, tested against zero with Student's t and Holm's correction."""
    usable = [i for i, d in enumerate(samples) if len(d) >= 2 and all(math.isfinite(v) for v in d)]
    raw = [_pvalue(samples[i]) for i in usable]
    corrected = dict(zip(usable, zip(holm(raw), holm_levels(raw), strict=True), strict=True))
    return [_effect(d, *corrected.get(i, (None, LEVEL))) for i, d in enumerate(samples)]


def _spread(differences: Sequence[float]) -> float:
    """Return the standard deviation, exactly zero if the values differ only by rounding."""
    spread = stdev(differences)
    return 0.0 if spread <= 1e-12 * max(map(abs, differences)) else spread


def _pvalue(differences: Sequence[float]) -> float:
    n, mean, spread = len(differences), fmean(differences), _spread(differences)
    if spread == 0:
        return 0.0 if mean else 1.0
    return t_pvalue(mean / (spread / math.sqrt(n)), n - 1)


def _effect(differences: Sequence[float], p: float | None, level: float) -> Effect:
    n, mean = len(differences), fmean(differences) if differences else math.nan
    if p is None:
        return Effect(mean=mean, n=n)
    spread = _spread(differences)
    half = t_quantile(level, n - 1) * spread / math.sqrt(n)
    return Effect(mean=mean, low=mean - half, high=mean + half, n=n, p=p, level=level, spread=spread)
