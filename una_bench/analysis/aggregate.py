"""Means across tasks, and intervals that cover the sampling of documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from una_bench.analysis.frame import Metric, Row
from una_bench.analysis.stats import LEVEL, Effect, Estimate, stdev, t_pvalue, t_quantile
from una_bench.record.schema import Better

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MEAN = Metric(name="tasks.mean", unit="1", better=Better.HIGHER)
IQM = Metric(name="tasks.iqm", unit="1", better=Better.HIGHER)


def iqm(values: Sequence[float]) -> float:
    """Return the interquartile mean: the mean without the lowest and the highest quarter (scipy's trim_mean)."""
    ordered = sorted(values)
    cut = len(ordered) // 4
    return fmean(ordered[cut : len(ordered) - cut])


def combinable(tasks: Sequence[Metric]) -> bool:
    """Return whether there are several tasks, all dimensionless and better when higher."""
    return len(tasks) > 1 and all(t.unit == "1" and t.better is Better.HIGHER for t in tasks)


def with_task_means(rows: Sequence[Row], tasks: Sequence[Metric]) -> list[Row]:
    """Add the mean and the interquartile mean across tasks to each row, for the seeds that have every task.

    Rows are unchanged unless the tasks are `combinable`. A task without values in any row is ignored.
    """
    measured = [task for task in tasks if any(row.values.get(task.name) for row in rows)]
    return [_with_means(row, [t.name for t in measured]) for row in rows] if combinable(measured) else list(rows)


def _with_means(row: Row, names: Sequence[str]) -> Row:
    each = [row.values.get(name, {}) for name in names]
    seeds = sorted(set.intersection(*(set(v) for v in each)))
    if not seeds:
        return row
    across = {seed: [v[seed] for v in each] for seed in seeds}
    more = {MEAN.name: {s: fmean(v) for s, v in across.items()}, IQM.name: {s: iqm(v) for s, v in across.items()}}
    return replace(row, values={**row.values, **more})


def with_documents(values: Sequence[float], stderrs: Sequence[float]) -> Estimate:
    """Return the mean over seeds with an interval that also covers the sampling of documents.

    All seeds share the documents, so the error over documents does not shrink with the number of seeds:
    variance = s²/n + mean(stderr²), degrees of freedom after Welch and Satterthwaite. The spread over seeds already
    contains part of the document noise, so the interval is slightly conservative.
    """
    n, mean = len(values), fmean(values)
    if n < 2:
        return Estimate(mean=mean, n=n)
    seeds, documents = stdev(values) ** 2 / n, fmean(e * e for e in stderrs)
    total = seeds + documents
    df = (n - 1) * (total / seeds) ** 2 if seeds > 0 else math.inf
    half = t_quantile(LEVEL, min(df, 1e9)) * math.sqrt(total)
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def over_documents(value: float, stderr: float) -> Estimate:
    """Return the interval of an untrained policy, which covers the sampling of documents alone (normal)."""
    half = t_quantile(LEVEL, 1e9) * stderr
    return Estimate(mean=value, low=value - half, high=value + half, n=1)


def by_document(differences: ArrayLike, *, level: float = LEVEL, p: float | None = None) -> Effect:
    """Return the mean difference of two methods on the same documents; the interval covers seeds and documents.

    Two-way random effects without replication: the variance of the grand mean is (MS_seeds + MS_documents - MS_rest) /
    (S D), at least MS_rest / (S D); degrees of freedom after Satterthwaite. With one seed, over documents alone.
    ``differences`` are (S seeds, D documents); ``p`` is corrected for the number of comparisons, or computed if None.
    """
    import numpy as np

    d = np.atleast_2d(np.asarray(differences, dtype=float))
    seeds, documents = d.shape
    mean = float(d.mean())
    if documents < 2:
        return Effect(mean=mean, n=seeds)
    by_doc, by_seed = d.mean(axis=0), d.mean(axis=1)
    ms_docs = seeds * float(by_doc.var(ddof=1))
    if seeds == 1:
        variance, df = ms_docs / documents, float(documents - 1)
    else:
        ms_seeds = documents * float(by_seed.var(ddof=1))
        rest = d - by_doc[None] - by_seed[:, None] + mean
        ms_rest = float((rest**2).sum()) / ((seeds - 1) * (documents - 1))
        total = max(ms_seeds + ms_docs - ms_rest, ms_rest)
        parts = (ms_seeds, seeds - 1), (ms_docs, documents - 1), (ms_rest, (seeds - 1) * (documents - 1))
        denominator = sum(ms**2 / df for ms, df in parts)
        df = total**2 / denominator if denominator else math.inf
        variance = total / (seeds * documents)
    if variance == 0:
        return Effect(mean=mean, low=mean, high=mean, n=seeds, p=0.0 if mean else 1.0, level=level)
    error, df = math.sqrt(variance), min(df, 1e9)
    half = t_quantile(level, df) * error
    p = t_pvalue(mean / error, df) if p is None else p
    return Effect(mean=mean, low=mean - half, high=mean + half, n=seeds, p=p, level=level)
