"""Limits of a baseline, derived from runs of unchanged code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from una_bench.analysis import stats
from una_bench.gate.baseline import Entry, Limits
from una_bench.gate.figures import LOSS, Gauge, Kind

FLOATS = 1e-5
"""Tolerance, as a share of the largest loss, for equal arithmetic in equal order."""
OTHER_SUMS = 0.02
"""Tolerance, as a share of the largest loss or of the response tokens, for another order of summation. Other kernels
of one processor moved the suite `ci` by 1e-6; this leaves room for a response or two that are sampled differently."""
SAFETY = 2.0
"""Factor from the observed range of unchanged code to the limits of noisy figures."""
LEAST = {"pace": 0.30, "memory": 0.20, "compute": 0.30}
"""Smallest relative limit of noisy figures: a few runs do not show the full spread of a machine."""
MOST = {"pace": 0.40, "memory": 0.25, "compute": 0.40}
"""Largest relative limit of noisy figures, so that the gate detects steps 1.5 times as long or 1.3 times the memory."""
ELSEWHERE = {"pace": 0.60, "memory": 0.50}
"""Relative limits of noisy figures on other kinds of machine. The yardstick is no perfect measure of another processor:
unchanged code took PPO 45 % longer on a busy Xeon than on the baseline's EPYC. Allocators and kernels move the peak."""
LEVEL = 0.99
"""Confidence level of the intervals of quality figures."""
GUESS = 0.1
"""Relative half-width of a quality figure if its spread is unknown (one run, no standard errors)."""
ROUNDING = 1e-3
"""Smallest relative half-width of quality figures, for rounding on other machines if all seeds agree."""


def entry(repeats: Sequence[Gauge], over_seeds: Sequence[float] = ()) -> Entry | None:
    """Return one line of a baseline, or None for a hash or a word that unchanged code does not reproduce.

    ``repeats`` are the figure of one cell in runs of unchanged code, ``over_seeds`` a quality figure of each seed.
    """
    first = repeats[0]
    if isinstance(first.value, str):
        if len({g.value for g in repeats}) > 1:
            return None
        if first.unit == "sha256":
            return _entry(first, first.value, "exact", None, "the same bits")
        return _entry(first, first.value, "exact", "exact", "the same words everywhere")
    values = [float(g.value) for g in repeats]
    if first.kind is Kind.DETERMINISTIC:
        return _deterministic(first, values)
    return _noisy(first, values) if first.kind is Kind.NOISY else _quality(first, values, over_seeds)


def _entry(gauge: Gauge, value: float | str, here: Limits, elsewhere: Limits | None, source: str) -> Entry:
    kind, unit, better = gauge.kind, gauge.unit, gauge.better
    return Entry(kind=kind, value=value, unit=unit, better=better, here=here, elsewhere=elsewhere, source=source)


def _deterministic(gauge: Gauge, values: Sequence[float]) -> Entry:
    """Return the limits of a loss or a count; if unchanged code did not reproduce it, they follow from its range."""
    value, spread = gauge.value, max(values) - min(values)
    assert not isinstance(value, str)
    scale = gauge.scale or abs(value)
    tolerance = 0.0 if isinstance(value, int) else FLOATS * scale
    source = "exact" if not tolerance else f"float tolerance {FLOATS:g}"
    if spread > tolerance:
        tolerance, source = SAFETY * spread, f"NOT REPEATED by {len(values)} runs: {SAFETY:g} times their range"
    here = _around(value, tolerance)
    # Bytes and steps are arithmetic; sampled responses have other lengths and losses with other rounding.
    if gauge.name.startswith(("memory.", "count.")):
        return _entry(gauge, value, here, here, source)
    if gauge.name.startswith(LOSS) and gauge.drawn:
        return _entry(gauge, value, here, None, source)
    elsewhere = _around(value, max(tolerance, OTHER_SUMS * scale))
    return _entry(gauge, value, here, elsewhere, f"{source}; elsewhere {OTHER_SUMS:.0%} of {gauge.of or 'the value'}")


def _noisy(gauge: Gauge, values: Sequence[float]) -> Entry:
    family = gauge.name.partition(".")[0]
    least, most, value = LEAST[family], MOST[family], median(values)
    observed = max(values) / min(values) - 1
    share = min(most, max(least, SAFETY * observed))
    source = f"A/A of {len(values)} runs: range {observed:.1%}" if len(values) > 1 else "one run, spread not known"
    if len(values) == 1:
        share = most - (most - least) / 4
    source += f"; {SAFETY:g} times that, {least:.0%} at least, {most:.0%} at most: {share:.1%}"
    elsewhere = _within(value, ELSEWHERE[family]) if family in ELSEWHERE else None
    return _entry(gauge, value, _within(value, share), elsewhere, source)


def _quality(gauge: Gauge, values: Sequence[float], over_seeds: Sequence[float]) -> Entry:
    """Return limits for the difference of two trainings, which has twice the variance of one.

    Documents are the same in both, but which of them a policy answers correctly depends on its last digits.
    """
    value, n = values[0], len(over_seeds)
    spread = stats.stdev(over_seeds) if n > 1 else 0.0  # an untrained policy has none
    seeds = stats.t_quantile(LEVEL, n - 1) * spread * math.sqrt(2) if spread else 0.0
    documents = stats.t_quantile(LEVEL, 1e6) * (gauge.stderr or 0.0) * math.sqrt(2)
    half, source = max((seeds, f"from {n} seeds"), (documents, "from the standard error over documents"))
    source = f"{LEVEL:.0%} interval of a difference between two trainings, {source}"
    if not half:
        half, source = GUESS * abs(value), f"one seed, spread not known: {GUESS:.0%} of the value"
    half = max(half, max(values) - min(values), ROUNDING * max(abs(value), 1.0))
    return _entry(gauge, value, _around(value, half), _around(value, half), source)


def _around(value: float, half: float) -> Limits:
    return "exact" if half == 0 else (_short(value - half), _short(value + half))


def _within(value: float, share: float) -> Limits:
    """Return limits of equal ratio to the value on both sides."""
    return _short(value / (1 + share)), _short(value * (1 + share))


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def moved(before: Mapping[str, Mapping[str, Entry]], after: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """Describe what an update changes: added and removed cells and figures, changed values and limits."""
    lines = [f"{cell}: new" for cell in after.keys() - before.keys()]
    lines += [f"{cell}: removed" for cell in before.keys() - after.keys()]
    for cell in sorted(before.keys() & after.keys()):
        old, new = before[cell], after[cell]
        lines += [f"{cell} {name}: new" for name in new if name not in old]
        lines += [f"{cell} {name}: removed" for name in old if name not in new]
        lines += [_change(cell, name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]
    return sorted(lines)


def _change(cell: str, name: str, old: Entry, new: Entry) -> str:
    if old.value == new.value:
        return f"{cell} {name}: limits {old.here} -> {new.here}"
    if isinstance(old.value, str) or isinstance(new.value, str) or not old.value:
        return f"{cell} {name}: {str(old.value)[:12]} -> {str(new.value)[:12]}"
    return f"{cell} {name}: {old.value:.6g} -> {new.value:.6g} ({new.value / old.value - 1:+.2%})"
