"""Figures from fixed records: which are drawn, the same to the byte, with what a reader needs."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import synthetic
from synthetic import measurement, record

from una_bench.analysis import stats
from una_bench.record.schema import Better, Record, StepSamples
from una_bench.reporting.plots import figures, style

PLOTS = {p.name: p for p in figures.draw(synthetic.records(), synthetic.INFO, baseline="dpo")}


def names(records: list[Record]) -> list[str]:
    return [p.name for p in figures.draw(records, {})]


def looks(methods: list[str], known: list[str]) -> dict[str, style.Look]:
    from una_bench.analysis import frame

    return style.looks(frame.rows([record(m, 0) for m in methods]), known)


def test_every_figure_is_drawn_where_there_is_something_to_draw() -> None:
    assert list(PLOTS) == ["frontier", "curves", "tasks", "costs", "throughput", "memory", "steps", "trend", "logs"]


def test_records_without_measurements_draw_nothing() -> None:
    assert names([synthetic.failed("dpo", 0)]) == []


def test_a_figure_without_its_benchmark_is_left_out() -> None:
    found = [record("dpo", s, measurements=synthetic.measurements("dpo", s, tasks=False)) for s in range(2)]
    assert "tasks" not in names(found)


@pytest.mark.parametrize("name", list(PLOTS))
def test_a_figure_is_well_formed_svg(name: str) -> None:
    assert ET.fromstring(PLOTS[name].svg).tag.endswith("svg")


@pytest.mark.parametrize("name", list(PLOTS))
def test_a_hostile_label_is_text_in_a_figure(name: str) -> None:
    svg = PLOTS[name].svg
    assert not re.search(r"<script|\x1b|\u202e", svg)


def test_a_figure_is_the_same_to_the_byte_when_drawn_again() -> None:
    again = figures.draw(synthetic.records(), synthetic.INFO, baseline="dpo")
    assert [p.svg for p in again] == [p.svg for p in PLOTS.values()]


@pytest.mark.parametrize(("length", "columns"), [(5, 4), (18, 3), (35, 2), (200, 1)])
def test_a_legend_has_as_many_columns_as_have_room(length: int, columns: int) -> None:
    fig = style.figure(6.4, 3.0)
    axes = fig.subplots()
    for i in range(5):
        axes.plot([0, 1], [0, i], label=f"{i}".ljust(length, "x"))
    style.legend(fig, axes)
    assert [legend._ncols for legend in fig.legends] == [columns]


def test_a_figure_has_no_date() -> None:
    assert "<dc:date>" not in PLOTS["curves"].svg


def test_a_stranger_s_matplotlibrc_changes_nothing() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 22, "lines.linewidth": 9, "axes.grid": False}):
        again = figures.draw(synthetic.records(), synthetic.INFO, baseline="dpo")
    assert [p.svg for p in again] == [p.svg for p in PLOTS.values()]


def test_all_writes_svg_and_png(tmp_path: Path) -> None:
    figures.all([record("dpo", 0)], {}, tmp_path / "plots")
    assert {p.suffix for p in (tmp_path / "plots").iterdir() if p.stat().st_size > 1000} == {".svg", ".png"}


def test_the_frontier_has_the_analytic_line() -> None:
    assert "best possible at this KL" in PLOTS["frontier"].svg


def test_the_frontier_has_no_line_where_none_is_known() -> None:
    found = {p.name: p for p in figures.draw(synthetic.records(), {})}
    assert "best possible" not in found["frontier"].svg


def test_memory_tells_arithmetic_from_what_was_measured() -> None:
    assert all(text in PLOTS["memory"].svg for text in ("weights (arithmetic)", "peak in backward"))


def test_task_scores_have_differences_to_the_baseline() -> None:
    assert "difference to DPO" in PLOTS["tasks"].svg


def test_a_method_has_its_color_in_every_run() -> None:
    known = ["base", "dpo", "kto", "ppo"]
    assert looks(["ppo"], known)["PPO"].color == looks(["dpo", "kto", "ppo"], known)["PPO"].color


def test_methods_have_different_colors_and_marks() -> None:
    found = looks(["dpo", "kto", "ppo", "una_online"], []).values()
    assert (len({look.color for look in found}), len({look.marker for look in found})) == (4, 4)


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


def lab(color: str, sight: str) -> np.ndarray:
    """CIE L*a*b* of a color as it is seen."""
    coded = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.where((t := xyz / np.array([0.9505, 1, 1.089])) > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", list(SIGHT))
def test_colors_are_told_apart_with_any_color_vision(sight: str) -> None:
    pairs = itertools.combinations(style.PALETTE, 2)
    assert min(float(np.linalg.norm(lab(a, sight) - lab(b, sight))) for a, b in pairs) > 15


def test_the_untrained_policy_is_grey() -> None:
    assert looks(["base", "dpo"], [])["Base (untrained)"].color == style.GRAY


def test_variants_share_the_color_and_differ_in_mark() -> None:
    from una_bench.analysis import frame

    rows = frame.rows([record("dpo", 0, variant=v, cell=f"dpo[{v}]-s0") for v in ("a=1", "a=2")])
    first, second = style.looks(rows, []).values()
    assert (first.color == second.color, first.marker == second.marker) == (True, False)


def test_many_rows_are_cut_and_the_caption_says_so() -> None:
    found = [record("dpo", 0, variant=f"v={i}", cell=f"dpo[{i}]-s0") for i in range(40)]
    drawn = figures.draw(found, {})
    assert all("The first 14 of 40 rows are shown." in p.caption for p in drawn)


def test_a_curve_is_averaged_where_all_seeds_have_it() -> None:
    from una_bench.analysis import frame
    from una_bench.record.schema import Curve
    from una_bench.reporting.plots.curves import band

    def with_curve(seed: int, x: tuple[float, ...], y: tuple[float, ...]) -> Record:
        return record("dpo", seed, curves=(Curve(metric="loss", unit="1", x=x, y=y),))

    row = frame.rows([with_curve(0, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0)), with_curve(1, (2.0, 3.0), (4.0, 5.0))])[0]
    x, estimates = band(row, "loss")
    assert (x, [e.mean for e in estimates]) == ([2.0, 3.0], [3.0, 4.0])


def test_an_unknown_metric_can_be_the_quality_that_costs_are_set_against() -> None:
    found = [
        record(m, s, measurements=(measurement("custom.score", "1", Better.HIGHER, s + len(m)),))
        for m in ("dpo", "ppo")
        for s in range(2)
    ]
    assert "custom score" in next(p for p in figures.draw(found, {}) if p.name == "costs").svg


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1.0, 1.0), (2.0, 2.0)], [1]),
        ([(1.0, 2.0), (2.0, 1.0)], [0, 1]),
        ([(1.0, 1.0), (1.0, 1.0)], [0, 1]),
        ([(1.0, 1.0), (1.0, 2.0)], [1]),
        ([], []),
    ],
)
def test_the_pareto_front_by_hand(points: list[tuple[float, float]], front: list[int]) -> None:
    assert stats.front(points) == front


def with_progress(method: str, seed: int) -> Record:
    """A record that says how many tokens were used at each evaluation; seeds use different numbers."""
    from una_bench.record.schema import Curve

    made = record(method, seed)
    x = made.curves[0].x
    tokens = Curve(metric="progress.tokens", unit="token", x=x, y=tuple(10 * v + 1000 * seed for v in x))
    return record(method, seed, curves=(*made.curves, tokens))


def test_quality_is_drawn_against_each_budget_that_was_noted() -> None:
    found = {p.name: p for p in figures.draw([with_progress(m, s) for m in ("dpo", "kto") for s in range(2)], {})}
    assert "tokens trained on" in found["budgets"].svg
    assert "FLOP of training" not in found["budgets"].svg


def test_evaluations_are_averaged_over_seeds_both_ways() -> None:
    from una_bench.reporting.plots import curves

    first, second = ([(float(10 + s), 1.0 + s), (20.0 + s, 2.0 + s)] for s in (0, 2))
    assert curves._means([first, second]) == [(11.0, 2.0), (21.0, 3.0)]


def test_how_much_of_a_budget_was_used_is_no_training_log() -> None:
    found = {p.name: p for p in figures.draw([with_progress("dpo", s) for s in range(2)], {})}
    assert "progress" not in found["logs"].svg


# trend of step times -------------------------------------------------------------------------------------------------


def test_a_training_that_became_slower_rises() -> None:
    from una_bench.reporting.plots import trend

    xs, ys = trend.line([[1.0] * 10 + [2.0] * 10 + [3.0] * 20])
    assert (xs[0], ys[0], ys[5], ys[-1]) == (2.5, 0.4, 0.8, 1.2)


def test_seeds_share_a_line_by_their_own_medians() -> None:
    from una_bench.reporting.plots import trend

    assert trend.line([[1.0, 1.0, 1.0], [10.0, 10.0, 20.0]])[1] == [1.0, 1.0, 1.5]


def test_a_step_that_stands_out_is_marked_where_it_came() -> None:
    from una_bench.reporting.plots import trend

    assert trend.outliers([1.0, 1.0, 1.6, 1.0, 99.0]) == [(50.0, 1.6), (90.0, trend.TOP)]


def test_one_measured_step_has_no_trend() -> None:
    short = record("dpo", 0, steps=StepSamples(seconds=(1.0,), responses=(64,)))
    assert "trend" not in names([short])
