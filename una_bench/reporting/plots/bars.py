"""Bar charts: memory against arithmetic, step times, throughput."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.analysis import stats
from una_bench.reporting.plots import style
from una_bench.reporting.tables import column_heads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = ("#4C78A8", "#9ECAE9", "#F2CF5B", "#83BCB6", "#B79A20", "#D6A5C9", "#9D755D", "#BAB0AC")
MOST_TICKS = 200
"""Most single steps drawn in a row of step times."""
HATCHES = ("", "//", "", "\\\\", "", "xx", "", "..")
PHASES = ("o", "D", "s", "^", "v", "P", "X", "*", "<", ">")


def memory(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw predicted resident memory stacked up to the measured peak, with the peak of each phase."""
    rows = [r for r in scene.rows if r.values.get("memory.peak")]
    if not rows:
        return None
    parts = [n for n in scene.metrics if n.startswith("memory.resident.") and not n.endswith(".activations")]
    phases = [n for n in scene.metrics if n.startswith("memory.phase.")]
    scale = formatting.scale("B", [v for r in rows for v in r.values["memory.peak"].values()])
    fig = style.figure(7.4, 0.42 * len(rows) + 1.9)
    axes = fig.subplots()
    left = [0.0] * len(rows)
    for i, part in enumerate(parts):
        widths = [fmean(r.values[part].values()) / scale.factor if r.values.get(part) else 0.0 for r in rows]
        label = f"{_last(part)} (arithmetic)"
        style_ = {"color": PARTS[i % len(PARTS)], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white", "lw": 0.5}
        axes.barh(range(len(rows)), widths, 0.62, left=left, label=label, **style_)  # type: ignore[arg-type]
        left = [a + b for a, b in zip(left, widths, strict=True)]
    peaks = [fmean(r.values["memory.peak"].values()) / scale.factor for r in rows]
    rest = [max(0.0, peak - a) for peak, a in zip(peaks, left, strict=True)]
    label = "activations and the rest (measured peak minus arithmetic)" if parts else "measured peak"
    axes.barh(
        range(len(rows)), rest, 0.62, left=left, label=label, color="none", edgecolor=style.GRAY, hatch="....", lw=0.8
    )
    for i, phase in enumerate(phases):
        at = [(y, fmean(r.values[phase].values()) / scale.factor) for y, r in enumerate(rows) if r.values.get(phase)]
        offset = ((i % 3) - 1) * 0.17
        axes.plot(
            [x for _, x in at],
            [y + offset for y, _ in at],
            PHASES[i % len(PHASES)],
            color=style.INK,
            ms=4,
            mfc="#ffffff",
            mew=0.9,
            label=f"peak in {_last(phase)}",
            linestyle="none",
        )
    style.horizontal(axes, [style.name(r) for r in rows])
    axes.set_xlabel(f"memory of the training process above its imports [{scale.unit}]")
    style.legend(fig, axes, columns=2, size=7.5)
    caption = "Bars: memory predicted by arithmetic, then the remainder up to the measured peak. "
    return fig, caption + "Marks: measured peak of each phase."


def _last(metric: str) -> str:
    return formatting.clean(metric.split(".", 2)[2].replace("_", " "))


def steps(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw the distribution of step times after warm-up, all seeds together."""
    import numpy as np

    trained = ((row, [r.steps for r in row.records if not r.failure]) for row in scene.rows)
    by_row = ((row, [t for s in steps for t in s.seconds[s.warmup :]]) for row, steps in trained)
    samples = [(row, times) for row, times in by_row if times]
    if not samples:
        return None
    scale = formatting.scale("s", [sorted(t)[len(t) // 2] for _, t in samples])
    fig = style.figure(7.4, 0.42 * len(samples) + 1.0)
    axes = fig.subplots()
    for y, (row, times) in enumerate(samples):
        look = scene.looks[row.label]
        shown = np.sort(np.array(times) / scale.factor)  # a list would be taken apart number by number
        box = axes.boxplot(
            shown,
            positions=[y],
            orientation="horizontal",
            widths=0.5,
            whis=(5, 95),
            patch_artist=True,
            showfliers=False,
        )
        box["boxes"][0].set(facecolor=look.color, alpha=0.55, edgecolor=look.color)
        box["medians"][0].set(color=style.INK, lw=1.6)
        for line in (*box["whiskers"], *box["caps"]):
            line.set(color=look.color)
        slow = shown[-min(MOST_TICKS, max(1, len(shown) // 100)) :]
        axes.plot(slow, [y] * len(slow), "|", color=look.color, ms=7)
    style.horizontal(axes, [style.name(row) for row, _ in samples])
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{'seconds of ' * (scale.unit == 's')}one training step [{scale.unit}]")
    ticks = f"slowest 1 %, {MOST_TICKS} at most"
    return fig, f"Box: middle half; line: median; whiskers: 5 to 95 %; ticks: {ticks}. Warm-up is excluded."


def throughput(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw a bar per method for each rate."""
    all_rates = [m for n, m in scene.metrics.items() if n.startswith("throughput.") and m.unit.endswith("/s")]
    rates = list({m.unit: m for m in reversed(all_rates)}.values())[::-1][:3]  # the first of each unit
    rows = [r for r in scene.rows if any(r.values.get(m.name) for m in rates)]
    if not rates or not rows:
        return None
    fig = style.figure(7.4, 0.36 * len(rows) + 1.1)
    panels = fig.subplots(1, len(rates), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, rates, strict=True):
        scale = formatting.scale(metric.unit, [v for r in rows for v in r.values.get(metric.name, {}).values()])
        for y, row in enumerate(rows):
            values = [v / scale.factor for v in row.values.get(metric.name, {}).values()]
            if values:
                rate, color = stats.interval(values), scene.looks[row.label].color
                axes.barh(y, rate.mean, 0.6, color=color, alpha=0.85)
                if rate.half:
                    axes.errorbar(rate.mean, y, xerr=rate.half, fmt="none", ecolor=style.INK, elinewidth=1.1, capsize=2)
        style.horizontal(axes, [style.name(r) for r in rows])
        axes.set_xlabel(column_heads.title(metric, scale.unit))
        axes.locator_params(axis="x", nbins=4)
    return fig, "Bar: mean over seeds; line: 95 % interval (Student t). Non-padding tokens only, after warm-up."
