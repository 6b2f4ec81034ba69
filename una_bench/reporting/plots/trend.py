"""Step times in the course of training: with a slowdown or outliers a mean rate would mislead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from una_bench.record.schema import Record
from una_bench.reporting.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = 20
"""Parts of a training for which a median is drawn, if it has as many steps."""
SLOW = 1.5
"""A step of at least this many times the median is an outlier."""
TOP = 3.0
"""Largest ratio drawn; slower steps are drawn there."""
MOST_MARKS, MOST_OF_ROW = 60, 180
"""Most outliers marked per training, the slowest, and of all trainings of a row."""


def draw(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw each row's step times in the course of training, relative to their median."""
    by_row = [(row, [measured(r) for r in row.records if not r.failure]) for row in scene.rows]
    drawable = [
        (row, [s for s in seeds if len(s) > 1 and 0 < sum(s) < math.inf and median(s) > 0]) for row, seeds in by_row
    ]
    rows = [(row, seeds) for row, seeds in drawable if seeds]
    if not rows:
        return None
    fig = style.figure(7.4, 3.4)
    axes = fig.subplots()
    for row, seeds in rows:
        look = scene.looks[row.label]
        xs, ys = line(seeds)
        axes.plot(xs, ys, color=look.color, linestyle=look.line, lw=1.6, label=style.name(row))
        most = min(MOST_MARKS, max(1, MOST_OF_ROW // len(seeds)))
        marks = [mark for seconds in seeds for mark in outliers(seconds, most)]
        axes.plot([x for x, _ in marks], [y for _, y in marks], look.marker, color=look.color, ms=3, alpha=0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.8, low), max(1.25, high + 0.02))
    axes.set_xlabel("share of the training after warm-up [%]")
    axes.set_ylabel("step time / median")
    axes.margins(x=0.02)
    style.legend(fig, axes)
    caption = (
        f"Line: median of each of up to {PARTS} equal parts divided by that of all steps, mean over seeds; flat if "
        f"the speed is constant. Marks: steps of at least {SLOW:g} times the median (such as steps with a rollout), "
        f"drawn at {TOP:g} if beyond."
    )
    return fig, caption


def measured(record: Record) -> tuple[float, ...]:
    """Return the seconds of each step after warm-up."""
    return record.steps.seconds[record.steps.warmup :]


def line(seeds: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return the middle of each part in percent, and its median relative to that of the training, mean over seeds."""
    parts = min(PARTS, *(len(seconds) for seconds in seeds))
    by_seed = []
    for seconds in seeds:
        middle, count = median(seconds), len(seconds)
        bounds = [count * i // parts for i in range(parts + 1)]
        by_seed.append([median(seconds[a:b]) / middle for a, b in pairwise(bounds)])
    return [100 * (i + 0.5) / parts for i in range(parts)], [fmean(values) for values in zip(*by_seed, strict=True)]


def outliers(seconds: Sequence[float], most: int = MOST_MARKS) -> list[tuple[float, float]]:
    """Return position in percent and time relative to the median of the slowest outliers."""
    middle, count = median(seconds), len(seconds)
    slow = [(i, value) for i, value in enumerate(seconds) if value / middle >= SLOW]
    marks = ((100 * (i + 0.5) / count, value / middle) for i, value in slow)
    slowest = sorted(marks, key=lambda mark: -mark[1])[:most]
    return [(x, min(TOP, ratio)) for x, ratio in sorted(slowest)]
