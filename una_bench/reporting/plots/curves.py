"""Learning curves with bands over seeds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.analysis import stats
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import PROGRESS, Better, Curve, Record
from una_bench.reporting.plots import style
from una_bench.reporting.tables import column_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6
AXES = {"tokens": "tokens trained on", "steps": "optimizer steps", "flops": "FLOP of training", "seconds": "seconds"}
"""Budgets that quality is drawn against, besides responses."""


def quality(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw the evaluations during training."""
    drawn = _panels(scene, lambda c: c.better is not Better.NEITHER or c.metric in scene.metrics)
    caption = "Line: mean over seeds. Band: 95 % interval over seeds (Student t), if there are several."
    return None if drawn is None else (drawn, caption)


def logs(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw the logs of the trainers."""
    drawn = _panels(
        scene,
        lambda c: c.better is Better.NEITHER and c.metric not in scene.metrics and not c.metric.startswith(PROGRESS),
    )
    caption = "Trainer logs. Losses of different methods are different quantities: compare shapes, not heights."
    return None if drawn is None else (drawn, caption)


def budgets(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw the first quality metric against every other budget that training consumed."""
    curves = [c for row in scene.rows for r in row.records for c in r.curves]
    evaluated = [c for c in curves if c.better is not Better.NEITHER]
    kinds = [kind for kind in AXES if any(c.metric == f"{PROGRESS}{kind}" for c in curves)]
    if not evaluated or not kinds:
        return None
    curve = min({c.metric: c for c in reversed(evaluated)}.values(), key=lambda c: _rank(scene, c.metric))
    fig = style.figure(7.4, 2.7 * math.ceil(len(kinds) / 2) + 0.5)
    panels = style.panels(fig, len(kinds), 2)
    for axes, kind in zip(panels, kinds, strict=True):
        _against(axes, scene, curve, kind)
    style.legend(fig, panels[0])
    caption = "The same evaluations against the budget consumed so far. Means over seeds on both axes."
    return fig, caption


def _against(axes: Axes, scene: style.Scene, curve: Curve, kind: str) -> None:
    for row in scene.rows:
        look = scene.looks[row.label]
        points = _means([p for r in row.records if not r.failure and (p := _points(r, curve.metric, kind))])
        if points:
            axes.plot(*zip(*points, strict=True), color=look.color, linestyle=look.line, lw=1.6, label=style.name(row))
    _name(axes, scene, curve, width=32, budget=AXES[kind])


def _points(record: Record, metric: str, kind: str) -> list[tuple[float, float]]:
    """Return (budget consumed, quality) at each evaluation of one training."""
    names = (metric, f"{PROGRESS}{kind}")
    curves = {c.metric: dict(zip(c.x, c.y, strict=True)) for c in record.curves if c.metric in names}
    quality, used = (curves.get(name, {}) for name in names)
    return [(used[x], y) for x, y in quality.items() if x in used and math.isfinite(y)]


def _means(seeds: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Return the mean over seeds of each evaluation; all seeds evaluate at the same fractions of the budget."""
    return [(fmean(x for x, _ in points), fmean(y for _, y in points)) for points in zip(*seeds, strict=False)]


def _panels(scene: style.Scene, keep: Callable[[Curve], bool]) -> Figure | None:
    by_metric: dict[str, Curve] = {}
    for curve in (c for row in scene.rows for r in row.records for c in r.curves):
        if len(curve.x) > 1 and keep(curve):
            by_metric.setdefault(curve.metric, curve)
    chosen = sorted(by_metric.values(), key=lambda c: _rank(scene, c.metric))[:MOST_PANELS]
    if not chosen:
        return None
    across = min(len(chosen), 3 if len(chosen) > 4 else 2)
    fig = style.figure(7.4, 2.7 * math.ceil(len(chosen) / across) + 0.5)
    panels = style.panels(fig, len(chosen), across)
    for axes, curve in zip(panels, chosen, strict=True):
        _panel(axes, scene, curve)
    style.legend(fig, max(panels, key=lambda a: len(a.get_legend_handles_labels()[0])))
    return fig


def _rank(scene: style.Scene, metric: str) -> tuple[int, int, str]:
    """Sort columns of the main table first, then losses, then the curves that most methods have."""
    main = [m.name for m in column_heads.main(scene.metrics)]
    rows = sum(any(c.metric == metric for r in row.records for c in r.curves) for row in scene.rows)
    return (main.index(metric) if metric in main else len(main) + (metric != "loss"), -rows, metric)


def _panel(axes: Axes, scene: style.Scene, curve: Curve) -> None:
    for row in scene.rows:
        look = scene.looks[row.label]
        x, estimates = band(row, curve.metric)
        if x:
            axes.plot(
                x, [e.mean for e in estimates], color=look.color, linestyle=look.line, lw=1.6, label=style.name(row)
            )
            if all(e.half is not None for e in estimates):
                low, high = [e.low for e in estimates], [e.high for e in estimates]
                axes.fill_between(x, low, high, color=look.color, alpha=0.18, lw=0)  # type: ignore[arg-type]
        elif row.fixed and row.values.get(curve.metric):
            level = next(iter(row.values[curve.metric].values()))
            axes.axhline(level, color=look.color, lw=1.2, linestyle=(0, (2, 2)), label=style.name(row))
    budget = "responses trained on" if curve.x_unit == "response" else "optimizer steps"
    _name(axes, scene, curve, width=24, budget=budget)


def _name(axes: Axes, scene: style.Scene, curve: Curve, *, width: int, budget: str) -> None:
    metric = scene.metrics.get(curve.metric) or Metric(name=curve.metric, unit=curve.unit, better=curve.better)
    title = column_heads.title(metric, formatting.scale(metric.unit, []).unit)
    axes.set_title("\n".join(textwrap.wrap(title, width)), fontsize=8.5)
    axes.locator_params(nbins=5)
    axes.set_xlabel(budget)
    axes.margins(x=0.02)


def band(row: Row, metric: str) -> tuple[list[float], list[stats.Estimate]]:
    """Return every x that all seeds of the row have, and the mean and interval over seeds there."""
    curves = [c for r in row.records if not r.failure for c in r.curves if c.metric == metric]
    by_x = [dict(zip(c.x, c.y, strict=True)) for c in curves]
    first = by_x[0] if by_x else {}
    at = {x: [c.get(x, math.nan) for c in by_x] for x in sorted(first)}
    finite = {x: values for x, values in at.items() if all(map(math.isfinite, values))}
    return list(finite), [stats.interval(values) for values in finite.values()]
