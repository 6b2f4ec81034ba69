"""From runs of unchanged code to the limits of a baseline: what may a figure do before it counts as moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from una_bench.analysis import stats
from una_bench.gate.baseline import Entry, Limits
from una_bench.gate.figures import LOSS, Gauge, Kind

FLOATS = 1e-5
"""Share of the largest loss that may differ where the same sums are done in the same order, and then written."""
OTHER_SUMS = 0.02
"""Share of the largest loss, or of the response tokens, that may differ where sums are cut otherwise. Other kernels of
one processor moved the suite `ci` by 1e-6; this leaves room for a response or two that are drawn otherwise."""
SAFETY = 2.0
"""Bounds of noisy figures are this many times the range that unchanged code was seen to have."""
LEAST = {"pace": 0.30, "memory": 0.20, "compute": 0.30}
"""Share that a noisy figure may always move: a few runs do not show all that a machine can do."""
MOST = {"pace": 0.40, "memory": 0.25, "compute": 0.40}
"""Share that it may never exceed, or the gate would miss a step 1.5 times as long, or 1.3 times the memory."""
CROSSES = {"pace"}
"""Noisy figures that are compared across kinds of machine, within `MOST`: the yardstick was timed beside the step."""
LEVEL = 0.99
"""Of the interval that a figure of quality must leave to count as moved."""
GUESS = 0.1
"""Half-width, as a share, where one run without standard errors says nothing of the spread."""

ROUNDING = 1e-3
"""Half-width of any interval of quality, as a share: another machine's sums must not count where all seeds agree."""


def entry(found: Sequence[Gauge], over_seeds: Sequence[float] = ()) -> Entry | None:
    """Return one line of a baseline, or None for a hash or a word that unchanged code does not repeat.

    Args:
        found: The same figure of the same cell, from runs of unchanged code.
        over_seeds: Its value with each seed that was run, for figures of quality.
    """
    first = found[0]
    if isinstance(first.value, str):
        return _exact(first) if len({g.value for g in found}) == 1 else None
    values = [float(g.value) for g in found]
    if first.kind is Kind.DETERMINISTIC:
        return _deterministic(first, values)
    return _noisy(first, values) if first.kind is Kind.NOISY else _quality(first, values, over_seeds)


def _entry(gauge: Gauge, value: float | str, here: Limits, elsewhere: Limits | None, source: str) -> Entry:
    return Entry(
        kind=gauge.kind,
        value=value,
        unit=gauge.unit,
        better=gauge.better,
        here=here,
        elsewhere=elsewhere,
        source=source,
    )


def _exact(gauge: Gauge) -> Entry:
    everywhere = gauge.unit != "sha256"
    said = "the same words everywhere" if everywhere else "the same bits"
    return _entry(gauge, gauge.value, "exact", "exact" if everywhere else None, said)


def _deterministic(gauge: Gauge, values: Sequence[float]) -> Entry:
    """Limits of a loss or of a count; one that unchanged code did not repeat has its spread for limits."""
    value, spread = gauge.value, max(values) - min(values)
    assert not isinstance(value, str)
    scale = gauge.scale or abs(value)
    tolerance = 0.0 if isinstance(value, int) else FLOATS * scale
    said = "exact" if not tolerance else f"float tolerance {FLOATS:g}"
    if spread > tolerance:
        tolerance, said = SAFETY * spread, f"NOT REPEATED by {len(values)} runs: {SAFETY:g} times their range"
    here = _around(value, tolerance)
    # Bytes and steps are arithmetic; what was drawn with other roundings has another length and another loss.
    if gauge.name.startswith(("memory.", "count.")):
        return _entry(gauge, value, here, here, said)
    if gauge.name.startswith(LOSS) and gauge.drawn:
        return _entry(gauge, value, here, None, said)
    elsewhere = _around(value, max(tolerance, OTHER_SUMS * scale))
    return _entry(gauge, value, here, elsewhere, f"{said}; elsewhere {OTHER_SUMS:.0%} of {gauge.of or 'the value'}")


def _noisy(gauge: Gauge, values: Sequence[float]) -> Entry:
    family = gauge.name.partition(".")[0]
    least, most, value = LEAST[family], MOST[family], median(values)
    seen = max(values) / min(values) - 1
    share = min(most, max(least, SAFETY * seen))
    said = f"A/A of {len(values)} runs: range {seen:.1%}" if len(values) > 1 else "one run, spread not known"
    if len(values) == 1:
        share = most - (most - least) / 4
    said += f"; {SAFETY:g} times that, {least:.0%} at least, {most:.0%} at most: {share:.1%}"
    elsewhere = _within(value, most) if family in CROSSES else None
    return _entry(gauge, value, _within(value, share), elsewhere, said)


def _quality(gauge: Gauge, values: Sequence[float], over_seeds: Sequence[float]) -> Entry:
    """A new training is one more draw, of seeds and of documents: its difference to this one has the variance of two.

    Here the documents are the same, but which of them a policy gets right turns with the last digits of its weights.
    """
    value, n = values[0], len(over_seeds)
    spread = stats.stdev(over_seeds) if n > 1 else 0.0  # an untrained policy has none
    seeds = stats.t_quantile(LEVEL, n - 1) * spread * math.sqrt(2) if spread else 0.0
    documents = stats.t_quantile(LEVEL, 1e6) * (gauge.stderr or 0.0) * math.sqrt(2)
    half, said = max((seeds, f"from {n} seeds"), (documents, "from the standard error over documents"))
    said = f"{LEVEL:.0%} interval of a difference between two trainings, {said}"
    if not half:
        half, said = GUESS * abs(value), f"one seed, spread not known: {GUESS:.0%} of the value"
    half = max(half, max(values) - min(values), ROUNDING * max(abs(value), 1.0))
    return _entry(gauge, value, _around(value, half), _around(value, half), said)


def _around(value: float, half: float) -> Limits:
    return "exact" if half == 0 else (_short(value - half), _short(value + half))


def _within(value: float, share: float) -> Limits:
    """Limits whose ratios to the value are alike on both sides."""
    return _short(value / (1 + share)), _short(value * (1 + share))


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def moved(before: Mapping[str, Mapping[str, Entry]], after: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """Say what an update changes: cells and figures that come or go, and values that are others."""
    lines = [f"{cell}: new" for cell in after.keys() - before.keys()]
    lines += [f"{cell}: gone" for cell in before.keys() - after.keys()]
    for cell in sorted(before.keys() & after.keys()):
        old, new = before[cell], after[cell]
        lines += [f"{cell} {name}: new" for name in new if name not in old]
        lines += [f"{cell} {name}: gone" for name in old if name not in new]
        lines += [_change(cell, name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]
    return sorted(lines)


def _change(cell: str, name: str, old: Entry, new: Entry) -> str:
    if old.value == new.value:
        return f"{cell} {name}: limits {old.here} -> {new.here}"
    if isinstance(old.value, str) or isinstance(new.value, str) or not old.value:
        return f"{cell} {name}: {str(old.value)[:12]} -> {str(new.value)[:12]}"
    return f"{cell} {name}: {old.value:.6g} -> {new.value:.6g} ({new.value / old.value - 1:+.2%})"
