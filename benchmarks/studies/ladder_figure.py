"""Figure of the study `ladder`: CPU time and memory after each change, one panel per ladder, model and length.

python benchmarks/studies/ladder_figure.py        # draws results/studies/ladder.svg from ladder.json
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from ladder import LADDERS, OUT
from ladder_tables import COLUMNS, NAMES, TITLES, measured

from una_bench.reporting.plots import style

COLORS = {"": style.GRAY, "budget": style.GRAY, "setting": style.GRAY, "method": "#D55E00", "loss, trainer": "#D55E00"}
ENGINE = "#0072B2"


def draw(record: dict[str, Any]) -> str:
    """Return the figure as SVG."""
    import matplotlib

    panels = [(ladder, *c) for ladder in LADDERS for c in COLUMNS if measured(record, ladder, *c)]
    with matplotlib.rc_context(style.settings()):
        fig = style.figure(7.4 + 3.0 * (len(panels) // 2 - 2), 6.4)
        for axes, (ladder, model, length) in zip(style.panels(fig, len(panels), len(panels) // 2), panels, strict=True):
            steps = measured(record, ladder, model, length)
            for y, (rung, readings) in enumerate(steps):
                seconds = [r["cpu_seconds"] for r in readings]
                axes.barh(y, median(seconds), 0.6, color=COLORS.get(rung.share, ENGINE), alpha=0.85)
                axes.plot([min(seconds), max(seconds)], [y, y], color=style.INK, lw=1.2)
                memory = median(r["peak_bytes"] for r in readings) / 2**20
                axes.annotate(f"{memory:.0f} MiB", (0, y), (3, 0), textcoords="offset points", va="center", fontsize=7)
            style.horizontal(axes, [rung.name for rung, _ in steps])
            axes.set_title(f"{TITLES[ladder]}\n{NAMES[model]}, {length} tokens", fontsize=8)
            axes.set_xlabel("CPU seconds [s]")
        return style.svg(fig, "ladder", transparent=False)


if __name__ == "__main__":
    OUT.with_suffix(".svg").write_text(draw(json.loads(OUT.read_text())))
