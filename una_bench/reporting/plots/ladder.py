"""Figure of ladders: time per response and peak memory after each change, one pair of panels a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.analysis import ladder
from una_bench.analysis.frame import Row
from una_bench.analysis.ladder import Ladder
from una_bench.reporting.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "ladder"
COLORS = {"method": "#D55E00", "engine": "#0072B2"}
PANELS = (("seconds", "time per response", "s"), ("bytes", "peak memory", "B"))
CAPTION = (
    "Bar: median over seeds; line: least and most. Orange: the change belongs to the method; blue: to the engine; gray:"
    " to the budget or a setting."
)


def draw(rows: Sequence[Row]) -> list[style.Plot]:
    """Draw the figure, nothing without two neighboring rungs of a ladder."""
    import matplotlib

    climbed = ladder.ladders(rows)
    if not climbed:
        return []
    with matplotlib.rc_context(style.settings()):
        heights = [len(one.steps) + 2 for one in climbed]
        fig = style.figure(7.4, 0.27 * sum(heights))
        grid = fig.subplots(len(climbed), 2, squeeze=False, height_ratios=heights)
        for one, line in zip(climbed, grid, strict=True):
            for axes, (quantity, head, unit) in zip(line, PANELS, strict=True):
                _bars(axes, one, quantity, unit, head)
            line[0].set_title(one.title, fontsize=9)
            line[1].set_yticklabels([])
        svg = style.svg(fig, NAME)
    return [style.Plot(name=NAME, title="Time and memory after each change", caption=CAPTION, svg=svg, figure=fig)]


def _bars(axes: Axes, one: Ladder, quantity: str, unit: str, head: str) -> None:
    scale = formatting.scale(unit, [v for step in one.steps for v in step.values.get(quantity, {}).values()])
    for y, step in enumerate(one.steps):
        values = [v / scale.factor for v in step.values.get(quantity, {}).values()]
        if values:
            axes.barh(y, median(values), 0.65, color=COLORS.get(step.rung.part, style.GRAY), alpha=0.85)
        if len(values) > 1:
            axes.plot([min(values), max(values)], [y, y], color=style.INK, lw=1.2)
    style.horizontal(axes, [step.rung.title for step in one.steps])
    axes.set_xlabel(f"{head} [{scale.unit}]")
