"""Figures of a tuned run: expected best validation result against trials and seconds, and every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from una_bench.analysis.best_of_trials import BAND
from una_bench.analysis.frame import Metric, Row
from una_bench.analysis.tuning import Search, Tuning
from una_bench.reporting.plots import style
from una_bench.reporting.plots.style import Look, Plot
from una_bench.reporting.tables import column_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(tuning: Tuning, rows: Sequence[Row], methods: Sequence[str]) -> list[Plot]:
    """Draw both figures; colors are those of ``rows``, the methods at the suite's settings."""
    import matplotlib

    by_label = style.looks(rows, methods)
    looks = {(row.method, row.variant): by_label[row.label] for row in rows}
    shown = [s for s in tuning.searches if s.measured and (s.method, s.variant) in looks][: style.MOST_ROWS]
    if not shown:
        return []
    metric = Metric(name=tuning.metric, unit="1", better=tuning.better)
    figures = (
        ("tuning", "Expected best result against trials", _expected(shown, looks, metric), EXPECTED),
        ("trials", "Every trial", _trials(shown, looks, metric), TRIALS),
    )
    plots = []
    with matplotlib.rc_context(style.settings()):
        for name, title, make, caption in figures:
            fig = make()
            plots.append(Plot(name=name, title=title, caption=caption, svg=style.svg(fig, name), figure=fig))
    return plots


EXPECTED = (
    f"Line: mean over all subsets of n trials. Band: the middle {100 * BAND:.0f} % of these subsets; it closes at the "
    "last point, where there is one subset. Right: the same against seconds of training, as cheap methods may try more."
)
TRIALS = (
    "Each mark is one trial; filled: the chosen one. Dashed: the mean at the suite's settings. Failed trials stand at "
    "the value of the untrained policy."
)


def _expected(searches: Sequence[Search], looks: Mapping[Any, Look], metric: Metric) -> Any:
    def make() -> Figure:
        fig = style.figure(7.4, 3.4)
        panels = style.panels(fig, 2, 2)
        for search in searches:
            look, best = looks[search.method, search.variant], search.expected_best()
            for axes, unit in zip(panels, (1.0, search.seconds_per_trial), strict=True):
                x = [one.n * unit for one in best]
                axes.plot(x, [one.mean for one in best], color=look.color, linestyle=look.line, lw=1.6,
                          marker=look.marker, ms=3, label=_short(search.label))  # fmt: skip
                axes.fill_between(x, [b.low for b in best], [b.high for b in best], color=look.color, alpha=0.12, lw=0)
        for axes, name in zip(panels, ("trials", "seconds of training"), strict=True):
            _name(axes, metric, name)
        panels[0].locator_params(axis="x", integer=True)
        style.legend(fig, panels[0])
        return fig

    return make


def _trials(searches: Sequence[Search], looks: Mapping[Any, Look], metric: Metric) -> Any:
    def make() -> Figure:
        fig = style.figure(7.4, 0.42 * len(searches) + 1.1)
        axes = fig.subplots()
        for y, search in enumerate(searches):
            look = looks[search.method, search.variant]
            axes.plot(search.values, [y] * len(search.values), look.marker, color=look.color, mfc="none", ms=6)
            if search.chosen is not None:
                axes.plot([search.measured[search.chosen]], [y], look.marker, color=look.color, ms=7)
            if search.at_defaults:
                mean = sum(search.at_defaults) / len(search.at_defaults)
                axes.plot([mean, mean], [y - 0.35, y + 0.35], color=style.INK, lw=1.2, linestyle=(0, (2, 2)))
        style.horizontal(axes, [_short(search.label) for search in searches])
        axes.set_xlabel(column_heads.title(metric, ""))
        return fig

    return make


def _name(axes: Axes, metric: Metric, budget: str) -> None:
    axes.set_title(column_heads.title(metric, ""), fontsize=8.5)
    axes.set_xlabel(budget)
    axes.margins(x=0.02)


def _short(label: str, most: int = 30) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
