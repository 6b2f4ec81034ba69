"""Task scores as dots with intervals, and their differences to the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.analysis import aggregate, stats
from una_bench.analysis.frame import Metric
from una_bench.reporting.plots import style
from una_bench.reporting.tables import cell_values, column_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def tasks(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw one line of dots per task; at the right the differences to the baseline, if there is one."""
    chosen = column_heads.tasks(scene.metrics)
    if not chosen:
        return None
    if len(chosen) > 1:
        chosen = [*chosen, aggregate.MEAN]
    base = scene.baseline
    fig = style.figure(7.4, max(1.0, 0.13 * len(scene.rows) + 0.25) * len(chosen) + 1.2)
    panels = fig.subplots(1, 2 if base else 1, squeeze=False, sharey=True)[0]
    for i, row in enumerate(scene.rows):
        points = [(y, e) for y, m in enumerate(chosen) if (e := cell_values.estimate(row, m.name)) is not None]
        if points:
            dots = [(y + _offset(i, len(scene.rows)), e.mean, e.half) for y, e in points]
            _dots(panels[0], dots, scene.looks[row.label], style.name(row))
    panels[0].set_xlabel("score")
    if base:
        _differences(panels[1], scene, chosen)
    for axes in panels:
        style.horizontal(axes, [formatting.clean(column_heads.head(m.name)) for m in chosen])
        for y in range(len(chosen) - 1):
            axes.axhline(y + 0.5, color=style.RULE, lw=0.6)
    style.legend(fig, panels[0])
    return fig, (
        "Dots: mean over seeds. Lines: 95 % interval over seeds, and over documents if standard errors are known."
        + (" Right: paired by seed; a line that crosses zero is not resolved." if base else "")
    )


def _offset(index: int, count: int) -> float:
    return (index - (count - 1) / 2) * 0.8 / max(count, 1)


def _dots(axes: Axes, points: list[tuple[float, float, float | None]], look: style.Look, label: str) -> None:
    axes.errorbar(
        [x for _, x, _ in points],
        [y for y, _, _ in points],
        xerr=[half or 0.0 for _, _, half in points],
        fmt=look.marker,
        color=look.color,
        ms=4.5,
        elinewidth=1.1,
        label=label,
    )


def _differences(axes: Axes, scene: style.Scene, chosen: list[Metric]) -> None:
    base = scene.baseline
    assert base is not None  # the caller draws this panel only with a baseline
    rows = [r for r in scene.rows if r.context == base.context]
    for y, metric in enumerate(chosen):
        having = [r for r in rows if r is not base and r.values.get(metric.name) and base.values.get(metric.name)]
        effects = stats.paired([cell_values.matched(r, base, metric.name) for r in having])
        for row, effect in zip(having, effects, strict=True):
            at = y + _offset(list(scene.rows).index(row), len(scene.rows))
            _dots(axes, [(at, effect.mean, effect.half)], scene.looks[row.label], style.name(row))
    axes.axvline(0, color=style.INK, lw=0.8)
    axes.set_xlabel(f"difference to {style.name(base)}")
