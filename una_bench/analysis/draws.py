"""Rows over draws of a problem: seeds are averaged within a draw, so that draws are the sample of every interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import fmean

from una_bench.analysis import best_of, frame, stats
from una_bench.analysis.frame import Metric, Row
from una_bench.errors import UserError
from una_bench.record.schema import Record, Status

NO_RESULT = frozenset({Status.INTERRUPTED, Status.NOT_APPLICABLE})
"""Statuses that say nothing about a method: such a cell is neither a value nor a loss."""
Draws = Mapping[int, Sequence[Record]]
"""Number of a draw -> its records, as `una_bench.record.reader.draws` returns them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One method and variant over the draws in which it has a result."""

    row: Row
    """Metric -> draw -> mean over seeds; a draw with a failed cell has no value."""
    lost: Mapping[int, Status]
    """Draw in which a cell failed -> how it failed first."""
    seeds: Mapping[int, frozenset[int]] = field(repr=False)
    """Draw -> seeds with a result."""

    @property
    def name(self) -> tuple[str, str]:
        """Return method and variant."""
        return self.row.method, self.row.variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """One method against another on a metric, over their common draws."""

    won: int
    lost: int
    draws: int
    """Number of draws compared: those with a value of both, and those in which a cell of one or both failed."""
    effect: stats.Effect
    """First minus second over the draws with a value of both, under Holm's correction for all pairs."""

    def turned(self) -> Duel:
        """Return the same with first and second exchanged."""
        e = self.effect
        low, high = (None if bound is None else -bound for bound in (e.high, e.low))
        turned = replace(e, mean=-e.mean, low=low, high=high)
        return Duel(won=self.lost, lost=self.won, draws=self.draws, effect=turned)


def rows(draws: Draws) -> list[Drawn]:
    """Return every method and variant over draws, in the order of the first draw that has it.

    Raises:
        UserError: A method has other settings or another budget in one draw than in another.
    """
    by_name: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for number, records in draws.items():
        for row in best_of.with_best_of(frame.rows(records)):
            by_name.setdefault((row.method, row.variant), {}).setdefault(number, []).append(row)
    return [_drawn(of_draws) for of_draws in by_name.values()]


def _drawn(of_draws: Mapping[int, Sequence[Row]]) -> Drawn:
    first = next(iter(of_draws.values()))[0]
    for number, parts in of_draws.items():
        for part in parts:
            if part.context.budget != first.context.budget or part.records[0].settings != first.records[0].settings:
                raise UserError(
                    f"{first.label} has other settings or another budget in draw {number} than in draw "
                    f"{next(iter(of_draws))}. Repeat the run's command, which trains all draws alike."
                )
    values: dict[str, dict[int, float]] = {}
    lost: dict[int, Status] = {}
    seeds: dict[int, frozenset[int]] = {}
    for number, parts in of_draws.items():
        records = [record for part in parts for record in part.records]
        failed = [record.status for record in records if record.status not in {Status.OK, *NO_RESULT}]
        if failed:
            lost[number] = failed[0]
            continue
        seeds[number] = frozenset(record.seed for record in records if record.status is Status.OK)
        for metric in dict.fromkeys(name for part in parts for name in part.values):
            by_seed = [value for part in parts for value in part.values.get(metric, {}).values()]
            values.setdefault(metric, {})[number] = fmean(by_seed)
    every = tuple(record for parts in of_draws.values() for part in parts for record in part.records)
    row = replace(first, run="", records=every, values=values, errors={})
    return Drawn(row=row, lost=lost, seeds={n: s for n, s in seeds.items() if s})


def duels(drawn: Sequence[Drawn], metric: Metric) -> dict[tuple[int, int], Duel]:
    """Return each two methods' duel by their places in ``drawn``, the first before the second."""
    pairs = list(combinations(range(len(drawn)), 2))
    values = [one.row.values.get(metric.name, {}) for one in drawn]
    effects = stats.paired([(values[i], values[j]) for i, j in pairs])
    return {
        pair: _duel(drawn[pair[0]], drawn[pair[1]], metric, effect) for pair, effect in zip(pairs, effects, strict=True)
    }


def _duel(first: Drawn, second: Drawn, metric: Metric, effect: stats.Effect) -> Duel:
    mine, theirs = first.row.values.get(metric.name, {}), second.row.values.get(metric.name, {})
    both = mine.keys() & theirs.keys()
    won = sum(metric.improves(mine[n], theirs[n]) for n in both) + len(second.lost.keys() & mine.keys())
    lost = sum(metric.improves(theirs[n], mine[n]) for n in both) + len(first.lost.keys() & theirs.keys())
    failed = (first.lost.keys() & (second.lost.keys() | theirs.keys())) | (second.lost.keys() & mine.keys())
    return Duel(won=won, lost=lost, draws=len(both) + len(failed), effect=effect)
