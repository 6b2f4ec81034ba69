"""Comparison of a run with a baseline: regressions, improvements, and figures that cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from una_bench import formatting
from una_bench.errors import UserError
from una_bench.gate import baseline as baselines
from una_bench.gate import figures, update
from una_bench.gate.baseline import Baseline, Entry
from una_bench.gate.figures import CHANGED, Gauge, Kind
from una_bench.record import reader
from una_bench.record.schema import Better, Status
from una_bench.reporting.tables.comparable_runs import refuse_mixed

SHOWN_ITEMS = 3
"""Number of items of a list in words that a message names."""


class Outcome(StrEnum):
    """Result of comparing one figure."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    AS_EXPECTED = "as expected"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of comparing one figure of one cell."""

    cell: str
    name: str
    """Name of the figure; empty for a whole cell."""
    outcome: Outcome
    detail: str
    """Value, change and violated limit, or why it was not compared."""
    noisy: bool = False
    """Whether the figure depends on the machine's load."""


def check(runs: Sequence[Path], baseline: Baseline) -> list[Verdict]:
    """Compare every cell of the baseline and of the runs; `UserError` if one is of another suite or recipe.

    Several runs are of the same code: a figure that depends on the machine's load must be out of its limits in every
    run, any other in one.
    """
    figures_of: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in (v for run in runs for v in _check(run, baseline)):
        figures_of.setdefault((verdict.cell, verdict.name), []).append(verdict)
    return [_joined(each) for each in figures_of.values()]


def _joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of several runs on one figure: the mildest of a noisy one, else the most severe."""
    severity = {Outcome.REGRESSION: 2, Outcome.NOT_COMPARED: 1}
    choose = min if verdicts[0].noisy else max
    return choose(verdicts, key=lambda v: severity.get(v.outcome, 0))


def _check(run: Path, baseline: Baseline) -> list[Verdict]:
    suite, key = update.identity(run)
    if suite != baseline.suite:
        raise UserError(f"{run} is a run of the suite {suite}; the baseline is of {baseline.suite}.")
    if key != baseline.key:
        raise UserError(
            f"{run} is a run of another recipe (key {key}) than the baseline (key {baseline.key}). Run the suite "
            "unchanged, or update the baseline if the suite was changed on purpose."
        )
    every = reader.some(run)
    refuse_mixed(run, every)
    records = {r.cell: r for r in every}
    of_quality = figures.quality([r for r in records.values() if r.status is Status.OK])
    verdicts: list[Verdict] = []
    for cell, entries in baseline.cells.items():
        record = records.get(cell)
        if record is None:
            verdicts.append(_whole(cell, Outcome.REGRESSION, "is missing from the run"))
        elif record.status is not Status.OK:
            reason = f" ({formatting.clean(record.failure.reason)})" if record.failure else ""
            detail = f"ended as {str(record.status).replace('_', ' ')}{reason}"
            verdicts.append(_whole(cell, Outcome.REGRESSION, detail))
        else:
            gauges = figures.gauges(record, of_quality)
            verdicts += _cell(cell, entries, gauges, baselines.differing(baseline, record))
    for cell in sorted(records.keys() - baseline.cells.keys()):
        verdicts.append(_whole(cell, Outcome.NOT_COMPARED, "not in the baseline; `una-bench baseline update` adds it"))
    return verdicts


def _whole(cell: str, outcome: Outcome, detail: str) -> Verdict:
    return Verdict(cell=formatting.clean(cell), name="", outcome=outcome, detail=detail)


def _cell(cell: str, entries: dict[str, Entry], gauges: dict[str, Gauge], other: str) -> Iterator[Verdict]:
    """Compare the figures of a cell; ``other`` describes versions or a machine that differ from the baseline's."""
    for name in [*entries, *sorted(gauges.keys() - entries.keys())]:
        if name not in gauges:
            outcome, detail = Outcome.REGRESSION, "was not measured"
        elif name not in entries:
            outcome, detail = _new(gauges[name], other)
        else:
            outcome, detail = _judge(entries[name], gauges[name], other)
        noisy = name in entries and entries[name].kind is Kind.NOISY
        yield Verdict(cell=formatting.clean(cell), name=name, outcome=outcome, detail=detail, noisy=noisy)


def _new(gauge: Gauge, other: str) -> tuple[Outcome, str]:
    """Judge a figure that is not in the baseline."""
    if gauge.value == CHANGED:
        return Outcome.REGRESSION, CHANGED
    if gauge.name.startswith(figures.RESIDENT) and not other:
        return Outcome.REGRESSION, f"{show(gauge.value, gauge.unit)}, nothing in the baseline"
    return Outcome.NOT_COMPARED, "not in the baseline"


def _judge(entry: Entry, gauge: Gauge, other: str) -> tuple[Outcome, str]:
    limits = entry.elsewhere if other else entry.here
    if gauge.value == CHANGED:  # wrong even if the baseline has it
        return Outcome.REGRESSION, CHANGED
    if limits is None:
        return Outcome.NOT_COMPARED, other
    if isinstance(entry.value, str) or isinstance(gauge.value, str):
        if entry.value == gauge.value:
            return Outcome.AS_EXPECTED, ""
        now, before = _unlike(str(gauge.value), str(entry.value)), _unlike(str(entry.value), str(gauge.value))
        return Outcome.REGRESSION, f"{show(now, gauge.unit)} against {show(before, entry.unit)}, must be equal"
    low, high = (entry.value, entry.value) if isinstance(limits, str) else limits
    below, above = low is not None and gauge.value < low, high is not None and gauge.value > high
    if not below and not above:
        return Outcome.AS_EXPECTED, ""
    better = (below and entry.better is Better.LOWER) or (above and entry.better is Better.HIGHER)
    change = f"{show(gauge.value, entry.unit)} against {show(entry.value, entry.unit)}"
    if entry.value > 0:
        change += f" ({100 * (gauge.value / entry.value - 1):+.3g} %)".replace("-", formatting.MINUS)
    parts = [f"{word} {show(end, entry.unit)}" for word, end in (("from", low), ("to", high)) if end is not None]
    allowed = "only that" if low == high else " ".join(parts)
    bound = f"allowed {allowed} ({entry.source}{'; elsewhere: ' + other if other else ''})"
    return (Outcome.IMPROVEMENT if better else Outcome.REGRESSION), f"{change}, {bound}"


def _unlike(value: str, other: str) -> str:
    """Return the first items of a list in words that another one lacks."""
    items, others = value.split(figures.BETWEEN), set(other.split(figures.BETWEEN))
    lacking = [item for item in items if item not in others]
    more = [f"{len(lacking) - SHOWN_ITEMS} more"] if len(lacking) > SHOWN_ITEMS else []
    return figures.BETWEEN.join([*lacking[:SHOWN_ITEMS], *more]) or "nothing"


def show(value: float | str, unit: str) -> str:
    """Format a figure with enough digits to show a float tolerance."""
    if isinstance(value, str):
        return formatting.clean(value)[:12] if unit == "sha256" else formatting.clean(value)
    number = f"{value:d}" if isinstance(value, int) else f"{value:.6g}"
    return f"{number}{'' if unit in {'1', 'sha256'} else ' ' + unit}".replace("-", formatting.MINUS)


def regressions(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts that fail a build."""
    return [v for v in verdicts if v.outcome is Outcome.REGRESSION]
