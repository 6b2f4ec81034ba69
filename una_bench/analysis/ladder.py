"""Ladders of neighboring settings: the share of each change in time, operations and memory of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import yaml

from una_bench.analysis.frame import Context, Row
from una_bench.record.schema import Record, Status

QUANTITIES = ("seconds", "operations", "bytes")
"""Wall time and operations per response drawn or given, reference pass included; peak memory."""
Seeds = Mapping[int, float]
Quantities = Mapping[str, Seeds]
"""Quantity -> seed -> value, with only those that were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder."""

    title: str
    part: str = ""
    """What its change to the rung before belongs to; empty for the first."""
    method: str
    settings: Mapping[str, Any]

    def matches(self, row: Row) -> bool:
        """Return whether a row was trained so."""
        given = row.records[0].settings
        return row.method == self.method and all(k in given and given[k] == v for k, v in self.settings.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rung as it was measured."""

    rung: Rung
    row: Row | None
    """The row that matches it, None where the run has none."""
    values: Quantities
    changes: Quantities
    """Values in units of those of the rung before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """A ladder as one run climbed it."""

    title: str
    context: Context
    steps: tuple[Step, ...]
    in_all: Mapping[str, Quantities]
    """Title of a part -> product of its changes, of parts whose changes were all measured."""


def ladders(rows: Sequence[Row]) -> list[Ladder]:
    """Return the ladders with at least two neighboring rungs among rows that can be compared."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.context, *_batch(row.records[0])), []).append(row)
    found = []
    for title, parts, rungs in _definitions():
        for key, members in alike.items():
            steps = _climb(rungs, members)
            if any(step.changes for step in steps):
                in_all = {name: product for part, name in parts.items() if (product := _product(steps, part))}
                found.append(Ladder(title=title, context=key[0], steps=steps, in_all=in_all))
    return found


@cache
def _definitions() -> list[tuple[str, Mapping[str, str], list[Rung]]]:
    text = Path(__file__).with_name("ladders.yaml").read_text(encoding="utf-8")
    return [(each["title"], each["in_all"], [Rung(**rung) for rung in each["rungs"]]) for each in yaml.safe_load(text)]


def _batch(record: Record) -> tuple[Any, ...]:
    """Return the sizes that two rungs must share."""
    job = record.job.get("batch_responses")
    return record.settings.get("batch_responses") or job, record.settings.get("responses_per_rollout")


def _climb(rungs: Sequence[Rung], rows: Sequence[Row]) -> tuple[Step, ...]:
    matching = [next((row for row in rows if rung.matches(row)), None) for rung in rungs]
    values = [_values(row) for row in matching]
    changes = [{}, *(_ratios(before, now) for before, now in pairwise(values))]
    return tuple(
        Step(rung=rung, row=row, values=of, changes=change)
        for rung, row, of, change in zip(rungs, matching, values, changes, strict=True)
    )


def _values(row: Row | None) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = {}
    for record in row.records if row else ():
        for name, value in measured(record).items():
            values.setdefault(name, {})[record.seed] = value
    return values


def _ratios(before: Quantities, now: Quantities) -> dict[str, dict[int, float]]:
    both = {name: before[name].keys() & now[name].keys() for name in before.keys() & now.keys()}
    return {n: {s: now[n][s] / before[n][s] for s in sorted(both[n])} for n in QUANTITIES if both.get(n)}


def _product(steps: Sequence[Step], part: str) -> dict[str, dict[int, float]]:
    """Return the product of the changes of a part, seed by seed."""
    changes = [step.changes for step in steps if step.rung.part == part]
    products = {}
    for name in QUANTITIES:
        seeds = set.intersection(*(set(change.get(name, ())) for change in changes))
        if seeds:
            products[name] = {seed: prod(change[name][seed] for change in changes) for seed in sorted(seeds)}
    return products


def measured(record: Record) -> dict[str, float]:
    """Return the quantities of one training; a response counts once, however often it was trained on."""
    trained = record.facts.get("responses_trained", 0)
    if record.status is not Status.OK or not trained:
        return {}
    passes = record.settings.get("num_ppo_epochs") or record.settings.get("num_iterations") or 1
    given = record.facts.get("responses_distinct")
    metrics = {m.metric: m.value for m in record.measurements if m.samples}
    values = {}
    if seconds := _step_seconds(record, passes):
        # A pass over given responses comes before the steps, and once, however many of them are trained on.
        reference = record.phase_seconds.get("reference", 0.0) / max(given, trained) if given else 0.0
        values["seconds"] = seconds + reference
    if (flops := metrics.get("compute.flops")) and trained >= (given or 0):
        values["operations"] = flops * passes / trained
    if peak := metrics.get("memory.peak"):
        values["bytes"] = peak
    return values


def _step_seconds(record: Record, passes: int) -> float:
    """Return the seconds of steps per response, without the first rollout (or batch) where there are more."""
    steps, skipped, first = record.steps, 0, 0
    while skipped < len(steps.seconds) and first < max(1, passes * (record.settings.get("responses_per_rollout") or 0)):
        first += steps.responses[skipped]
        skipped += 1
    skipped = 0 if skipped == len(steps.seconds) else skipped
    responses = sum(steps.responses[skipped:])
    return passes * sum(steps.seconds[skipped:]) / responses if responses else 0.0
