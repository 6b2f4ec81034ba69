"""Scores of leaderboard tasks from lm-eval's results.

There are three scales, never mixed:

* ``task.*``: as lm-eval reports the task or group (groups weighted by documents).
* ``paper.*``: as in the UNA paper (arXiv:2408.15339, experiments): GSM8K is the mean of its two exact matches, IFEval
  the mean of its four accuracies. The paper does not say how it averages sub-tasks; here they weigh the same.
* ``normalized.*``: as in leaderboard v2: 0 is chance (by each sub-task's number of choices; below counts as 0) and 1 is
  perfect; IFEval is the mean of its two strict accuracies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any

from una_bench.evaluation.leaderboards import CHOICES, GROUPS, Entry
from una_bench.record.schema import Better, Measurement

Results = Mapping[str, Any]
"""Return value of `lm_eval.evaluator.evaluate` for one task or group."""
Value = tuple[float, float | None]
"""Score in [0, 1] and its standard error over documents, if lm-eval gives one."""


def leaves(results: Results) -> list[str]:
    """Return the names of the tasks that were run, without groups."""
    return [name for name in results["results"] if name in results["configs"]]


def _values(results: Results, leaf: str, metrics: Sequence[str]) -> Value:
    """Return the mean of metrics of one task, with an error for a single metric only: metrics share documents."""
    figures = results["results"][leaf]
    error = figures.get(metrics[0].replace(",", "_stderr,"), None) if len(metrics) == 1 else None
    return fmean(float(figures[m]) for m in metrics), float(error) if isinstance(error, int | float) else None


def _mean(values: Sequence[Value]) -> Value:
    """Return the unweighted mean of independent scores."""
    errors = [error for _, error in values if error is not None]
    stderr = math.sqrt(math.fsum(e * e for e in errors)) / len(values) if len(errors) == len(values) else None
    return fmean(value for value, _ in values), stderr


def paper_score(entry: Entry, results: Results) -> Value:
    """Return the score as in the paper."""
    return _mean([_values(results, leaf, entry.metrics) for leaf in leaves(results)])


def normalized_score(entry: Entry, results: Results) -> Value | None:
    """Return the score as in leaderboard v2; None for tasks of v1, which shows raw scores."""
    if entry.chance is None:
        return None
    metrics = entry.strict or entry.metrics
    parts: list[Value] = []
    for leaf in leaves(results):
        chance = 1 / CHOICES[leaf] if leaf in CHOICES else entry.chance
        score, error = _values(results, leaf, metrics)
        scale = 1 / (1 - chance)
        parts.append((max(0.0, (score - chance) * scale), None if error is None else error * scale))
    return _mean(parts)


def measurements(
    group: str,
    results: Mapping[str, Results],
    not_run: Mapping[str, str],
    seen: Mapping[str, str] = MappingProxyType({}),
) -> list[Measurement]:
    """Return the ``paper.*`` and ``normalized.*`` measurements of a leaderboard.

    By lm-eval's name of the task: ``results`` are lm-eval's, ``not_run`` are reasons (such a task has a measurement
    without a sample), and ``seen`` describes the documents where lm-eval's counts do not apply.
    """
    families: dict[str, Callable[[Entry, Results], Value | None]]
    families = {"paper": paper_score, "normalized": normalized_score}
    return [m for name, score in families.items() for m in _family(group, name, score, results, not_run, seen)]


def _family(
    group: str,
    family: str,
    score: Callable[[Entry, Results], Value | None],
    results: Mapping[str, Results],
    not_run: Mapping[str, str],
    seen: Mapping[str, str],
) -> list[Measurement]:
    prefix = f"{family}.{group.replace('-', '_')}"
    measured, values, missing = [], [], []
    for entry in GROUPS[group]:
        if entry.task in results:
            value = score(entry, results[entry.task])
            if value is None:
                return []
            values.append(value)
            how = seen.get(entry.task) or documents(results[entry.task])
            measured.append(_measured(f"{prefix}.{entry.name}", value, how))
        elif entry.task in not_run and (family == "paper" or entry.chance is not None):
            missing.append(entry.name)
            measured.append(absent(f"{prefix}.{entry.name}", not_run[entry.task]))
    if values and len(values) + len(missing) == len(GROUPS[group]):
        name = f"{prefix}.average" + (f"_without_{'_'.join(missing)}" if missing else "")
        measured.append(_measured(name, _mean(values), f"each of {len(values)} tasks counts the same"))
    return measured


def documents(results: Results) -> str:
    """Return the number of documents evaluated, in words."""
    counts = [results["n-samples"][leaf] for leaf in leaves(results)]
    return f"{sum(c['effective'] for c in counts)} of {sum(c['original'] for c in counts)} documents"


def _measured(metric: str, value: Value, how: str) -> Measurement:
    score, error = value
    return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(score,), how=how, stderr=error)


def absent(metric: str, reason: str) -> Measurement:
    """Return a measurement without a sample, with the reason."""
    return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(), how=f"not run: {reason}")
