"""Quality against cost: reward against KL, and against time, tokens, FLOPs and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.analysis import stats
from una_bench.analysis.frame import Metric, Row
from una_bench.record.schema import Better
from una_bench.reporting.plots import style
from una_bench.reporting.tables import column_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[int, float]
BAND = ("reward_low", "reward_high")


def frontier(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw reward against KL to the reference, with the analytic frontier if the problem has one."""
    reward = next((n for n in scene.metrics if ".reward." in n and n.endswith(".train")), "")
    kl = reward.replace(".reward.", ".kl_ref.")
    if kl not in scene.metrics or not reward:
        return None
    fig = style.figure(6.4, 4.4)
    axes = fig.subplots()
    reached = [v for row in scene.rows for v in row.values.get(kl, {}).values() if math.isfinite(v)]
    largest = max(reached, default=0.0)
    analytic = scene.info.get("frontier") or {}
    if analytic.get("kl") and analytic.get("reward"):
        points = sorted(zip(analytic["kl"], analytic["reward"], strict=True))
        shown = 1 + sum(x <= 1.2 * largest for x, _ in points)  # further ones would stretch the other axis
        x, y = [p[0] for p in points[:shown]], [p[1] for p in points[:shown]]
        axes.plot(x, y, color=style.INK, lw=1.2, label="best possible at this KL")
        if "reward_low" in analytic:  # estimated from samples
            low, high = ([v for _, v in sorted(zip(analytic["kl"], analytic[s], strict=True))][:shown] for s in BAND)
            axes.fill_between(x, low, high, color=style.INK, alpha=0.15, lw=0)
    _best_of(axes, analytic.get("best_of") or {}, 1.2 * largest)
    for row in scene.rows:
        _point(axes, scene, row, row.values.get(kl, {}), row.values.get(reward, {}), 1.0)
    axes.set_xlabel(column_heads.title(scene.metrics[kl], "nat"))
    axes.set_ylabel(column_heads.title(scene.metrics[reward], ""))
    if largest > 0:  # the frontier extends beyond the points
        axes.set_xlim(-0.04 * largest, 1.2 * largest)
    style.legend(fig, axes)
    caption = "Large: mean over seeds with its 95 % interval; small: each seed."
    if analytic:
        caption += " Line: the highest reward that any policy can reach at that KL"
        caption += ", estimated, with its 95 % band." if "reward_low" in analytic else "."
    if analytic.get("best_of"):
        caption += " Crosses: the best of n samples of the untrained policy, at the largest KL that it can have."
    return fig, caption


def _best_of(axes: Axes, best: Mapping[str, Sequence[float]], largest: float) -> None:
    """Mark the best of n samples of the untrained policy."""
    for n, kl, reward in zip(*(best.get(name, ()) for name in ("n", "kl_at_most", "reward")), strict=True):
        if kl <= largest:
            axes.plot([kl], [reward], "x", color=style.INK, ms=4, mew=0.9)
            axes.annotate(f"best of {n:g}", (kl, reward), (4, -8), textcoords="offset points", fontsize=7)


def _point(axes: Axes, scene: style.Scene, row: Row, xs: Values, ys: Values, factor: float) -> None:
    seeds = [s for s in sorted(xs.keys() & ys.keys()) if math.isfinite(xs[s]) and math.isfinite(ys[s])]
    if not seeds:
        return
    look = scene.looks[row.label]
    x, y = [xs[s] / factor for s in seeds], [ys[s] for s in seeds]
    if len(seeds) > 1:
        axes.plot(x, y, look.marker, color=look.color, ms=3, alpha=0.45, mew=0)
    of_x, of_y = stats.interval(x), stats.interval(y)
    axes.errorbar(
        of_x.mean,
        of_y.mean,
        xerr=of_x.half or None,
        yerr=of_y.half or None,
        fmt=look.marker,
        color=look.color,
        ms=7,
        mec="white",
        mew=0.8,
        elinewidth=1.2,
        capsize=2,
        label=style.name(row),
    )


def costs(scene: style.Scene) -> tuple[Figure, str] | None:
    """Draw quality against each measured cost, with the Pareto front."""
    quality = column_heads.primary(scene.metrics)
    measured = [(title, unit, values) for title, unit, values in _costs(scene) if values]
    if quality is None or not measured:
        return None
    across = min(2, len(measured))
    fig = style.figure(7.4, 3.0 * math.ceil(len(measured) / across) + 0.6)
    panels = style.panels(fig, len(measured), across)
    for axes, (title, unit, values) in zip(panels, measured, strict=True):
        scale = formatting.scale(unit, [v for each in values.values() for v in each.values()])
        for row in scene.rows:
            _point(axes, scene, row, values.get(row.label, {}), row.values.get(quality.name, {}), scale.factor)
        _front(axes, scene, values, quality, scale.factor)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(f"{title} [{scale.unit}]")
        axes.set_ylabel(column_heads.title(quality, formatting.scale(quality.unit, []).unit))
    style.legend(fig, panels[0])
    return fig, "Dotted: Pareto front of the means; no method is both cheaper and better than a method on it."


def _costs(scene: style.Scene) -> list[tuple[str, str, dict[str, Values]]]:
    flops = next((n for n in scene.metrics if n.startswith("compute.") and scene.metrics[n].unit == "FLOP"), "")
    return [
        ("training time", "s", _of_records(scene, lambda r: r.facts.get("training_seconds") or sum(r.steps.seconds))),
        (
            "tokens trained on",
            "token",
            _of_records(scene, lambda r: float(sum(r.facts.get(f"{n}_tokens", 0) for n in ("prompt", "response")))),
        ),
        ("arithmetic", "FLOP", {r.label: r.values[flops] for r in scene.rows if r.values.get(flops)}),
        ("peak memory", "B", {r.label: r.values["memory.peak"] for r in scene.rows if r.values.get("memory.peak")}),
    ]


def _of_records(scene: style.Scene, cost: Any) -> dict[str, Values]:
    by_row = {row.label: {r.seed: cost(r) for r in row.records if not r.failure and cost(r)} for row in scene.rows}
    return {label: values for label, values in by_row.items() if values}


def _front(axes: Axes, scene: style.Scene, values: Mapping[str, Values], quality: Metric, factor: float) -> None:
    both = ((values.get(row.label), row.values.get(quality.name)) for row in scene.rows)
    points = [(fmean(cost.values()) / factor, fmean(good.values())) for cost, good in both if cost and good]
    sign = 1 if quality.better is Better.HIGHER else -1
    best = sorted(points[i] for i in stats.front([(-cost, sign * good) for cost, good in points]))
    if len(best) > 1:
        axes.step(*zip(*best, strict=True), where="post", color=style.INK, lw=0.9, linestyle=(0, (1, 2)))
