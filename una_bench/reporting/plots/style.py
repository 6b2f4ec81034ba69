"""Shared style of all figures: colors per method, markers for print, reproducible files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from una_bench.analysis.frame import Metric, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Six of Okabe and Ito (2008), without yellow and black, which are illegible on a white or a dark page. The last two
# maximize the distance to the others, for normal and red-green blind readers, at a contrast of 2 on both pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4830F0", "#C00030")
GRAY = "#808080"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
INK = "#222222"
RULE = "#d5d5d5"
MOST_ROWS = 14
"""Rows that one figure shows."""
SETTINGS: Mapping[str, Any] = {
    "svg.fonttype": "none",  # keeps text searchable and readable by screen readers
    "text.parse_math": False,  # labels may contain dollar signs
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}


def settings() -> Any:
    """Return all settings of matplotlib, so that a user's matplotlibrc has no effect."""
    import matplotlib

    return {**matplotlib.rcParamsDefault, **SETTINGS, "backend": "agg"}


@dataclass(frozen=True, slots=True)
class Look:
    """Color, marker and line of one row."""

    color: str
    marker: str
    line: Any


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Data of all figures."""

    rows: Sequence[Row]
    metrics: Mapping[str, Metric]
    info: Mapping[str, Any]
    looks: Mapping[str, Look]
    """By label of the row."""
    baseline: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One finished figure."""

    name: str
    title: str
    caption: str
    svg: str
    figure: Figure


Draw = Callable[[Scene], "tuple[Figure, str] | None"]
"""Returns the figure and its caption, or None if the records have no data for it."""


def looks(rows: Sequence[Row], methods: Sequence[str]) -> dict[str, Look]:
    """Assign each row its look. The color is the method's index in ``methods``, so that it is the same in every run.

    Variants of a method share its color and differ in marker and line.
    """
    order = [*methods, *sorted({row.method for row in rows} - set(methods))]
    trained = [m for m in order if not any(r.method == m and r.fixed for r in rows)]
    variants: dict[str, int] = {}
    look_by_label = {}
    for row in rows:
        variant = variants[row.method] = variants.get(row.method, -1) + 1
        place = trained.index(row.method) if row.method in trained else 0
        color = GRAY if row.fixed else PALETTE[place % len(PALETTE)]
        marker, line = MARKERS[(place + variant) % len(MARKERS)], LINES[variant % len(LINES)]
        look_by_label[row.label] = Look(color, marker, line)
    return look_by_label


def name(row: Row, most: int = 30) -> str:
    """Return a row's label, shortened for legends."""
    return row.label if len(row.label) <= most else row.label[: most - 1] + "…"


def panels(fig: Figure, count: int, across: int) -> Sequence[Axes]:
    """Return ``count`` axes in rows of ``across``."""
    grid = fig.subplots(-(-count // across), across, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return list(grid[:count])


def figure(width: float, height: float) -> Figure:
    """Return an empty figure in inches, without pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def legend(fig: Figure, axes: Axes, *, columns: int = 4, size: float = 8) -> None:
    """Put one legend under the panels, in as many of ``columns`` as have room."""
    handles, labels = axes.get_legend_handles_labels()
    for count in range(min(columns, len(labels)), 0, -1):
        made = fig.legend(handles, labels, loc="outside lower left", ncols=count, fontsize=size)
        if count == 1 or made.get_window_extent().width <= fig.bbox.width:
            break
        made.remove()


def horizontal(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a horizontal chart, first on top."""
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def svg(fig: Figure, name: str, *, transparent: bool = True) -> str:
    """Return the figure as SVG; equal records give equal bytes. A file of its own needs a white background."""
    import matplotlib

    if (layout := fig.get_layout_engine()) is not None:
        layout.execute(fig)
        fig.set_layout_engine(None)  # saving would otherwise draw twice, because "none" leaves a placeholder
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": "una-bench"}, transparent=transparent)
    return out.getvalue()
