"""Selection, order and heads of the metric columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
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
    "preference.auc.*",
    "preference.rank_correlation.*",
    "preference.reward.*",
    "preference.kl*",
    "judge.win_rate.*",
    "judge.win_rate_lc.*",
    "judge.grade.*",
    "task.*",
    "throughput.tokens_per_second",
    "memory.peak",
)
"""Columns of the main table, if present."""
DETAIL = (
    "oracle.*",
    "optimum.*",
    "preference.*",
    "judge.*",
    "throughput.*",
    "memory.*",
    "compute.*",
    "energy.*",
    "time.*",
    "pace.*",
)
"""Families whose other metrics the main table leaves out; metrics of third-party families are shown."""
VALIDATION = ".validation"
"""End of metrics on the data that settings are chosen by, which the main table leaves out."""
LEADERBOARDS = {"paper": "counted as in the paper", "normalized": "normalized: 0 is chance, 1 is perfect"}
"""Families with a scoring of their own for the tasks of a leaderboard; each gets its own table."""
WORDS = {
    "oracle.kl_ref.train": "KL to reference",
    "oracle.kl_ref.heldout": "KL to reference (held-out)",
    "oracle.reward.train": "reward",
    "memory.peak": "peak memory",
    "throughput.tokens_per_second": "throughput",
    "throughput.samples_per_second": "throughput",
    "throughput.optimizer_steps_per_second": "optimizer steps",
    "preference.accuracy.heldout": "preference accuracy",
    "preference.auc.heldout": "ROC AUC of labels",
    "preference.rank_correlation.heldout": "rank correlation with scores",
    "preference.kl_ref.heldout": "KL to reference (held-out)",
    "judge.win_rate.heldout": "judged win rate",
    "judge.win_rate_lc.heldout": "judged win rate, length-controlled",
    "judge.grade.heldout": "judged grade",
    "tasks.mean": "mean of tasks",
    "tasks.iqm": "interquartile mean of tasks",
}
ARROWS = {Better.HIGHER: "↑ ", Better.LOWER: "↓ ", Better.NEITHER: ""}
MOST_TASKS = 4
"""Most tasks that the main table shows one by one; more are shown as their interquartile mean and a separate table."""


def head(name: str) -> str:
    """Return a metric's name in words."""
    if name in WORDS:
        return WORDS[name]
    family, *rest = name.split(".")
    if family == "task" and len(rest) >= 2:
        return f"{rest[0]} ({' '.join(rest[1:])})"
    if family in LEADERBOARDS and len(rest) >= 2:
        return f"{' '.join(rest[1:]).replace('_', ' ')} ({family}, {rest[0].removeprefix('leaderboard_')})"
    split = {"train": " (train)", "heldout": " (held-out)", "validation": " (validation)"}.get(
        rest[-1] if rest else "", ""
    )
    middle = rest[:-1] if split else rest
    parts = middle if family in {"oracle", "preference"} and middle else [family, *middle]
    return " ".join(parts).replace("_", " ") + split


def title(metric: Metric, unit: str) -> str:
    """Return a column's head: arrow in the better direction, words, unit as shown."""
    return ARROWS[metric.better] + formatting.clean(head(metric.name)) + (f" [{unit}]" if unit else "")


def tasks(metrics: Mapping[str, Metric]) -> list[Metric]:
    """Return one metric per task: the first with values, else the first."""
    first: dict[str, Metric] = {}
    for name, metric in metrics.items():
        parts = name.split(".")
        if parts[0] == "task" and len(parts) >= 3:
            before = first.setdefault(parts[1], metric)
            if metric.measured and not before.measured:
                first[parts[1]] = metric
    return list(first.values())


def main(metrics: Mapping[str, Metric]) -> list[Metric]:
    """Return the metrics of the main table in its order, without tasks if there are many."""
    chosen: dict[str, Metric] = {}
    shown_tasks = tasks(metrics)
    for pattern in MAIN:
        if pattern == "task.*":
            chosen.update((m.name, m) for m in shown_tasks if len(shown_tasks) <= MOST_TASKS)
        else:
            shown = (n for n in metrics if fnmatchcase(n, pattern) and not n.endswith(VALIDATION))
            chosen.update((n, metrics[n]) for n in shown)
    hidden = (*DETAIL, "task.*", *(f"{family}.*" for family in LEADERBOARDS))
    chosen.update((n, m) for n, m in metrics.items() if not any(fnmatchcase(n, p) for p in hidden))
    return list(chosen.values())


def leaderboards(metrics: Mapping[str, Metric]) -> dict[str, list[Metric]]:
    """Return the metrics of each leaderboard and scoring, by the title of their table."""
    by_title: dict[str, list[Metric]] = {}
    for name, metric in metrics.items():
        family, _, rest = name.partition(".")
        if family in LEADERBOARDS and "." in rest:
            board = formatting.clean(rest.partition(".")[0]).replace("_", " ")
            by_title.setdefault(f"{board[:1].upper()}{board[1:]}, {LEADERBOARDS[family]}", []).append(metric)
    return by_title


COSTS = ("throughput.", "memory.", "compute.", "energy.", "time.", "pace.")
"""Families of cost metrics."""


def quality(metrics: Mapping[str, Metric]) -> list[Metric]:
    """Return the metrics of the main table that have a better direction and are no cost."""
    return [m for m in main(metrics) if m.better is not Better.NEITHER and not m.name.startswith(COSTS)]


def primary(metrics: Mapping[str, Metric]) -> Metric | None:
    """Return the first quality metric.

    If that is one task of several, return their mean (which rows have after `aggregate.with_task_means`).
    """
    first = next(iter(quality(metrics)), None)
    if (first is None or first.name.startswith("task.")) and aggregate.combinable(tasks(metrics)):
        return aggregate.MEAN
    return first
