"""Which metrics a table shows, in which order and under which words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from una_bench import formatting
from una_bench.analysis import aggregate
from una_bench.analysis.frame import Metric
from una_bench.record.schema import Better

MAIN = (
    "oracle.regret.train",
    "oracle.regret.heldout",
    "oracle.kl_ref.train",
    "oracle.reward.train",
    "preference.accuracy.*",
    "preference.reward.*",
    "preference.kl*",
    "task.*",
    "throughput.tokens_per_second",
    "memory.peak",
)
"""Columns of the main table, where present."""
DETAIL = ("oracle.*", "preference.*", "throughput.*", "memory.*", "compute.*", "energy.*", "time.*", "pace.*")
"""Families that the main table shows no more of; any other metric is a stranger's and is shown."""
LEADERBOARDS = {"paper": "counted as in the paper", "normalized": "normalized: 0 is chance, 1 is perfect"}
"""Families that count the tasks of a leaderboard in their own way, one table each, never mixed with others."""
WORDS = {
    "oracle.kl_ref.train": "KL to reference",
    "oracle.kl_ref.heldout": "KL to reference (held-out)",
    "oracle.reward.train": "reward",
    "oracle.reward.heldout": "reward (held-out)",
    "oracle.j.train": "objective J",
    "oracle.j.heldout": "objective J (held-out)",
    "memory.peak": "peak memory",
    "throughput.tokens_per_second": "throughput",
    "throughput.samples_per_second": "throughput",
    "throughput.optimizer_steps_per_second": "optimizer steps",
    "preference.accuracy.heldout": "preference accuracy",
    "preference.kl_ref.heldout": "KL to reference (held-out)",
    "tasks.mean": "mean of tasks",
    "tasks.iqm": "interquartile mean of tasks",
}
ARROWS = {Better.HIGHER: "↑ ", Better.LOWER: "↓ ", Better.NEITHER: ""}
MOST_TASKS = 4
"""Tasks that the main table shows one by one; more become their interquartile mean and a table of their own."""


def head(name: str) -> str:
    """Return a metric's name in words."""
    if name in WORDS:
        return WORDS[name]
    family, *rest = name.split(".")
    if family == "task" and len(rest) >= 2:
        return f"{rest[0]} ({' '.join(rest[1:])})"
    if family in LEADERBOARDS and len(rest) >= 2:
        return f"{' '.join(rest[1:]).replace('_', ' ')} ({family}, {rest[0].removeprefix('leaderboard_')})"
    split = {"train": " (train)", "heldout": " (held-out)"}.get(rest[-1] if rest else "", "")
    middle = rest[:-1] if split else rest
    parts = middle if family in {"oracle", "preference"} and middle else [family, *middle]
    return " ".join(parts).replace("_", " ") + split


def title(metric: Metric, unit: str) -> str:
    """Return a column's head: arrow towards better, words, unit as shown."""
    return ARROWS[metric.better] + formatting.clean(head(metric.name)) + (f" [{unit}]" if unit else "")


def tasks(metrics: Mapping[str, Metric]) -> list[Metric]:
    """One metric for each task: the first that the benchmark gave, one with values where there is any."""
    first: dict[str, Metric] = {}
    for name, metric in metrics.items():
        parts = name.split(".")
        if parts[0] == "task" and len(parts) >= 3:
            before = first.setdefault(parts[1], metric)
            if metric.measured and not before.measured:
                first[parts[1]] = metric
    return list(first.values())


def main(metrics: Mapping[str, Metric]) -> list[Metric]:
    """Metrics of the main table, in its order; tasks are left out where there are many."""
    chosen: dict[str, Metric] = {}
    few = tasks(metrics)
    for pattern in MAIN:
        if pattern == "task.*":
            chosen.update((m.name, m) for m in few if len(few) <= MOST_TASKS)
        else:
            chosen.update((n, m) for n, m in metrics.items() if fnmatchcase(n, pattern))
    strangers = _matching(metrics, exclude=(*DETAIL, "task.*", *(f"{family}.*" for family in LEADERBOARDS)))
    return [*chosen.values(), *(metrics[n] for n in strangers if n not in chosen)]


def leaderboards(metrics: Mapping[str, Metric]) -> dict[str, list[Metric]]:
    """Metrics of each leaderboard and way of counting, under the title of their table."""
    found: dict[str, list[Metric]] = {}
    for name, metric in metrics.items():
        family, _, rest = name.partition(".")
        if family in LEADERBOARDS and "." in rest:
            board = formatting.clean(rest.partition(".")[0]).replace("_", " ")
            found.setdefault(f"{board[:1].upper()}{board[1:]}, {LEADERBOARDS[family]}", []).append(metric)
    return found


COSTS = ("throughput.", "memory.", "compute.", "energy.", "time.", "pace.")
"""Families that say what quality costs."""


def primary(metrics: Mapping[str, Metric]) -> Metric | None:
    """Return what quality means here: the first metric of the main table that has a direction and is no cost.

    Where that is one task of several, their mean (which rows have after `aggregate.with_task_means`).
    """
    directed = (m for m in main(metrics) if m.better is not Better.NEITHER and not m.name.startswith(COSTS))
    found = next(directed, None)
    several = aggregate.combinable(tasks(metrics))
    if several and (found is None or found.name.startswith("task.")):
        return aggregate.MEAN
    return found


def _matching(names: Iterable[str], *, exclude: Iterable[str]) -> list[str]:
    patterns = tuple(exclude)
    return [n for n in names if not any(fnmatchcase(n, p) for p in patterns)]
