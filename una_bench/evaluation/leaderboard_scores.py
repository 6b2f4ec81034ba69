"""How lm-eval's results on a leaderboard's tasks become one number each.

Three ways to count, never mixed:

* ``task.*``: what lm-eval itself reports for the task or group (groups weighted by documents).
* ``paper.*``: as the UNA paper counts (arXiv:2408.15339, experiments): GSM8K the mean of its two exact matches, IFEval
  the mean of its four accuracies. How it put sub-tasks together is not said; here each counts the same.
* ``normalized.*``: as leaderboard v2 shows it: 0 is chance and 1 is perfect, each sub-task by its own number of
  choices, below chance counts as 0; IFEval the mean of its two strict accuracies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from una_bench.evaluation.leaderboards import CHOICES, GROUPS, Entry
from una_bench.record.schema import Better, Measurement

Results = Mapping[str, Any]
"""What `lm_eval.evaluator.evaluate` returned for one task or group."""
Value = tuple[float, float | None]
"""A score in [0, 1] and its standard error over documents, where lm-eval gives one."""


@dataclass(frozen=True, slots=True)
class _Found:
    results: Mapping[str, Results]
    not_run: Mapping[str, str]
    seen: Mapping[str, str]


def leaves(results: Results) -> list[str]:
    """Names of the tasks that were run, groups left out."""
    return [name for name in results["results"] if name in results["configs"]]


def _values(results: Results, leaf: str, metrics: Sequence[str]) -> Value:
    """Mean of several metrics of one task; their errors are of the same documents, so only a single one has one."""
    figures = results["results"][leaf]
    error = figures.get(metrics[0].replace(",", "_stderr,"), None) if len(metrics) == 1 else None
    return fmean(float(figures[m]) for m in metrics), float(error) if isinstance(error, int | float) else None


def _mean(values: Sequence[Value]) -> Value:
    """Mean of independent scores, each counting the same."""
    errors = [error for _, error in values]
    known = [error for error in errors if error is not None]
    spread = math.sqrt(math.fsum(e * e for e in known)) / len(values) if len(known) == len(values) else None
    return fmean(value for value, _ in values), spread


def _normalized(value: Value, chance: float) -> Value:
    score, error = value
    scale = 1 / (1 - chance)
    return max(0.0, (score - chance) * scale), None if error is None else error * scale


def paper_score(entry: Entry, results: Results) -> Value:
    """Score as the paper counts it."""
    return _mean([_values(results, leaf, entry.paper) for leaf in leaves(results)])


def normalized_score(entry: Entry, results: Results) -> Value | None:
    """Score as leaderboard v2 shows it; None for tasks of v1, which shows them raw."""
    if entry.chance is None:
        return None
    metrics = entry.strict or entry.paper
    parts = []
    for leaf in leaves(results):
        chance = 1 / CHOICES[leaf] if leaf in CHOICES else entry.chance
        parts.append(_normalized(_values(results, leaf, metrics), chance))
    return _mean(parts)


def measurements(
    group: str, found: Mapping[str, Results], not_run: Mapping[str, str], seen: Mapping[str, str] = MappingProxyType({})
) -> list[Measurement]:
    """Turn the results of a leaderboard's tasks into ``paper.*`` and ``normalized.*``.

    Args:
        group: Name of the leaderboard.
        found: lm-eval's results by lm-eval's name of the task.
        not_run: Reasons by the same names; such a task has a measurement without a sample.
        seen: Which documents, in words, by the same names, where that is not what lm-eval says.
    """
    made: list[Measurement] = []
    for family, score in (("paper", paper_score), ("normalized", normalized_score)):
        made += _family(group, family, score, _Found(found, not_run, seen))
    return made


def _family(
    group: str,
    family: str,
    score: Callable[[Entry, Results], Value | None],
    found: _Found,
) -> list[Measurement]:
    prefix = f"{family}.{group.replace('-', '_')}"
    made, values, missing = [], [], []
    for entry in GROUPS[group]:
        if entry.task in found.results:
            value = score(entry, found.results[entry.task])
            if value is None:
                return []
            values.append(value)
            how = found.seen.get(entry.task) or documents(found.results[entry.task])
            made.append(_measured(f"{prefix}.{entry.name}", value, how))
        elif entry.task in found.not_run and (family == "paper" or entry.chance is not None):
            missing.append(entry.name)
            made.append(absent(f"{prefix}.{entry.name}", found.not_run[entry.task]))
    if values and len(values) + len(missing) == len(GROUPS[group]):
        name = f"{prefix}.average" + (f"_without_{'_'.join(missing)}" if missing else "")
        made.append(_measured(name, _mean(values), f"each of {len(values)} tasks counts the same"))
    return made


def documents(results: Results) -> str:
    """Say how many documents were seen."""
    counts = [results["n-samples"][leaf] for leaf in leaves(results)]
    return f"{sum(c['effective'] for c in counts)} of {sum(c['original'] for c in counts)} documents"


def _measured(metric: str, value: Value, how: str) -> Measurement:
    score, error = value
    return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(score,), how=how, stderr=error)


def absent(metric: str, reason: str) -> Measurement:
    """Return a measurement that could not be taken: no sample, and why."""
    return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(), how=f"not run: {reason}")
