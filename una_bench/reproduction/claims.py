"""Claims of a paper beside what runs have shown: held, did not hold, not resolved, or not comparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from una_bench import formatting
from una_bench.analysis import draws, frame, stats
from una_bench.analysis.draws import Draws
from una_bench.analysis.frame import Metric, Row
from una_bench.record import reader
from una_bench.record.schema import Better, Record
from una_bench.reporting.tables import comparable_runs
from una_bench.reproduction.published_numbers import Comparison

FLOAT32_BYTES = 4
MILLION = 1e6
WEIGHTS = "memory.resident.weights"


class Outcome(StrEnum):
    """What a run shows of a claim."""

    HELD = "held"
    DID_NOT = "did not hold"
    UNRESOLVED = "not resolved"
    INCOMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim, on one metric, between two rows of a run."""

    claim: Comparison
    first: str = ""
    second: str = ""
    """Labels of the rows; empty where the run has none."""
    metric: Metric | None = None
    effect: stats.Effect | None = None
    """First minus second."""
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The rows of one run, over draws of its problem if there are several, else over seeds."""

    run: str
    suite: str
    rows: tuple[Row, ...]
    metrics: Mapping[str, Metric]
    unit: str
    """``seed`` or ``draw``: what intervals are over."""
    count: int
    weights: float
    """Weights of the policy, 0 if not recorded."""


def sample(run: Path, name: str, by_draw: Draws | None = None) -> Sample:
    """Return one run, read unless its records are given by draw; `UserError` if it has none."""
    by_draw = by_draw or reader.draws(run)
    records = [record for of_draw in by_draw.values() for record in of_draw]
    several = len(by_draw) > 1
    rows = [one.row for one in draws.rows(by_draw)] if several else frame.rows(records)
    return Sample(
        run=name,
        suite=formatting.clean(records[0].suite),
        rows=tuple(rows),
        metrics=frame.metrics(records),
        unit="draw" if several else "seed",
        count=len(by_draw) if several else len({r.seed for r in records if reader.trained(r)}),
        weights=_weights(records),
    )


def _weights(records: Sequence[Record]) -> float:
    held = (m.value for r in records for m in r.measurements if m.metric == WEIGHTS and m.samples)
    return next(held, 0.0) / FLOAT32_BYTES


def findings(of: Sample, claims: Sequence[Comparison]) -> list[Finding]:
    """Return what a run shows of each claim; Holm's correction is for all orders that it tests."""
    planned = [one for claim in claims for one in _planned(of, claim)]
    pairs = [one for one in planned if isinstance(one, _Pair)]
    orders = [one for one in pairs if one.claim.kind == "better" and one.claim.weights <= of.weights]
    effects = iter(stats.paired([one.values for one in orders]))
    return [
        one
        if isinstance(one, Finding)
        else _found(of, one, next(effects) if one in orders else stats.paired([one.values])[0])
        for one in planned
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """Two rows to subtract."""

    claim: Comparison
    metric: Metric
    first: Row
    second: Row

    @property
    def values(self) -> tuple[stats.Seeds, stats.Seeds]:
        """Values of both by seed or draw."""
        return self.first.values[self.metric.name], self.second.values[self.metric.name]


def _planned(of: Sample, claim: Comparison) -> Iterator[Finding | _Pair]:
    metrics = [m for m in of.metrics.values() if m.measured and any(fnmatchcase(m.name, p) for p in claim.metrics)]
    firsts, seconds = (_selected(of.rows, one) for one in (claim.first, claim.second))
    if not (metrics and firsts and seconds):
        absent = claim.second if firsts else claim.first
        why = f"no row of {_described(absent)}" if not (firsts and seconds) else "not measured"
        yield Finding(claim=claim, outcome=Outcome.INCOMPARABLE, why=why)
    for metric, first, second in product(metrics, firsts, seconds):
        why = _refusal(first, second, metric, claim)
        if why:
            yield _unsubtracted(claim, metric, first, second, why)
        else:
            yield _Pair(claim=claim, metric=metric, first=first, second=second)


def _selected(rows: Sequence[Row], selection: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a method; a setting that older records do not name had its default."""

    def fits(row: Row) -> bool:
        given = row.records[0].settings
        wanted = {k: v if isinstance(v, list) else [v] for k, v in selection.items() if k != "method"}
        return all(given.get(k, one[0]) in one for k, one in wanted.items())

    return [row for row in rows if row.method == selection["method"] and fits(row)]


def _described(selection: Mapping[str, Any]) -> str:
    settings = ", ".join(
        f"{k}={'/'.join(v) if isinstance(v, list) else v}" for k, v in selection.items() if k != "method"
    )
    return f"{selection['method']}[{settings}]" if settings else str(selection["method"])


def _refusal(first: Row, second: Row, metric: Metric, claim: Comparison) -> str:
    """Return why two rows may not be subtracted, empty if they may."""
    if first.method == second.method:
        mine, theirs = first.records[0].settings, second.records[0].settings
        chosen = {*claim.first, *claim.second}
        others = [k for k in mine if k not in chosen and mine.get(k) != theirs.get(k)]
        if others:
            return f"the rows also differ in {', '.join(others)}"
    return comparable_runs.refusal(first, second, metric)


def _unsubtracted(claim: Comparison, metric: Metric, first: Row, second: Row, why: str) -> Finding:
    outcome = Outcome.INCOMPARABLE
    if why == "n/a":
        failed = [f"{r.label}: {str(r.failed[0].status).replace('_', ' ')}" for r in (first, second) if r.failed]
        outcome, why = (Outcome.UNRESOLVED, ", ".join(failed)) if failed else (outcome, "not measured")
    return Finding(claim=claim, metric=metric, first=first.label, second=second.label, outcome=outcome, why=why)


def _found(of: Sample, pair: _Pair, effect: stats.Effect) -> Finding:
    outcome, why = _outcome(pair, effect, of.unit)
    if pair.claim.weights > of.weights:
        outcome = Outcome.INCOMPARABLE
        why = f"a cost at another scale: from {pair.claim.weights / MILLION:g} million weights"
    for row, losing in ((pair.first, Outcome.HELD), (pair.second, Outcome.DID_NOT)):
        if row.failed:  # what is left of a row that fails is too good
            outcome = Outcome.UNRESOLVED if outcome is losing else outcome
            why = "; ".join(filter(None, (why, f"{len(row.failed)} failed cells of {row.label}")))
    return Finding(
        claim=pair.claim,
        metric=pair.metric,
        first=pair.first.label,
        second=pair.second.label,
        effect=effect,
        outcome=outcome,
        why=why,
    )


def _outcome(pair: _Pair, effect: stats.Effect, unit: str) -> tuple[Outcome, str]:
    if effect.low is None or effect.high is None:
        return Outcome.UNRESOLVED, f"{effect.n or 'no common'} {unit}"
    sign = 1 if pair.metric.better is Better.HIGHER else -1
    worst, best = sorted((sign * effect.low, sign * effect.high))
    margin = pair.claim.margin or 0.0
    if pair.claim.kind == "better":
        held, failed = worst > 0, best < 0
    elif pair.claim.kind == "as_good":
        held, failed = worst >= -margin, best < -margin
    else:
        held, failed = worst >= -margin and best <= margin, worst > margin or best < -margin
    return (Outcome.HELD if held else Outcome.DID_NOT if failed else Outcome.UNRESOLVED), ""
