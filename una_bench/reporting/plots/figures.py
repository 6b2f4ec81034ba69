"""Figures of a run, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from una_bench.analysis import aggregate, frame
from una_bench.record.schema import Record
from una_bench.reporting.plots import bars, curves, ladder, scatter, scores, style, trend
from una_bench.reporting.tables import column_heads

FIGURES: Mapping[str, tuple[str, style.Draw]] = {
    "frontier": ("Reward against KL to the reference", scatter.frontier),
    "curves": ("Learning curves", curves.quality),
    "budgets": ("Quality against each budget", curves.budgets),
    "tasks": ("Task scores", scores.tasks),
    "costs": ("Quality against cost", scatter.costs),
    "throughput": ("Throughput", bars.throughput),
    "memory": ("Memory", bars.memory),
    "steps": ("Step time", bars.steps),
    "trend": ("Step time in the course of training", trend.draw),
    "logs": ("Training logs", curves.logs),
}


def draw(records: Sequence[Record], info: Mapping[str, Any], *, baseline: str | None = None) -> list[style.Plot]:
    """Draw each figure that the records have data for.

    Colors follow ``info["catalog"]`` (all installed methods) if the run recorded it, else the methods of the run.
    """
    import matplotlib

    metrics = frame.metrics(records)
    rows = aggregate.with_task_means(frame.rows(records), column_heads.tasks(metrics))
    methods = [str(m) for m in info.get("catalog", info.get("catalogue")) or info.get("methods") or ()]
    scene = style.Scene(
        rows=rows[: style.MOST_ROWS],
        metrics=metrics,
        info=info,
        looks=style.looks(rows, methods),
        baseline=frame.find(rows, baseline) if baseline else None,
    )
    more = f" The first {style.MOST_ROWS} of {len(rows)} rows are shown." if len(rows) > style.MOST_ROWS else ""
    groups = len({row.context for row in scene.rows})
    more += f" The rows are of {groups} groups that are not comparable with each other." if groups > 1 else ""
    plots = []
    with matplotlib.rc_context(style.settings()):
        for name, (title, draw_one) in FIGURES.items():
            drawn = draw_one(scene)
            if drawn is not None:
                fig, caption = drawn
                text = style.svg(fig, name)
                plots.append(style.Plot(name=name, title=title, caption=caption + more, svg=text, figure=fig))
    return [*plots, *ladder.draw(rows)]


def all(
    records: Sequence[Record], info: Mapping[str, Any], out: Path, *, baseline: str | None = None
) -> list[style.Plot]:
    """Write every figure to the folder ``out`` as SVG and PNG, and return them."""
    import matplotlib

    out.mkdir(parents=True, exist_ok=True)
    plots = draw(records, info, baseline=baseline)
    for plot in plots:
        with matplotlib.rc_context(style.settings()):
            svg = style.svg(plot.figure, plot.name, transparent=False)
            (out / f"{plot.name}.svg").write_text(svg, encoding="utf-8")
            plot.figure.savefig(out / f"{plot.name}.png", dpi=200, facecolor="white", metadata={"Software": None})
    return plots
