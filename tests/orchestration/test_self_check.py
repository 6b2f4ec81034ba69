"""The self-check: a wrong reading of a known allocation, and the noise of repeated trainings."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console
from scipy.stats import t

from una_bench.orchestration import self_check
from una_bench.orchestration.repeat import Spread
from una_bench.orchestration.self_check import KNOWN, Report


def report(allocated_bytes: int = KNOWN, noise: Mapping[str, Spread] | None = None) -> Report:
    noise = noise or {"memory.peak": Spread(readings=(1.0, 1.0))}
    return Report(device="cpu", allocated_bytes=allocated_bytes, noise=noise)


@pytest.mark.parametrize(("share", "ok"), [(0.5, False), (0.97, False), (0.99, True), (1.01, True), (1.03, False)])
def test_a_reading_of_the_known_allocation_may_differ_by_two_per_cent(share: float, ok: bool) -> None:
    found = report(int(share * KNOWN))
    assert (found.ok, found.to_json()["ok"]) == (ok, ok)


def test_spread_is_largest_minus_smallest_over_the_mean() -> None:
    assert Spread(readings=(9.0, 10.0, 11.0)).range_share == pytest.approx(0.2)


def test_the_resolvable_difference_is_half_an_interval_of_two_means() -> None:
    spread = Spread(readings=(9.0, 10.0, 11.0))  # sd 1 of 10
    assert spread.resolvable_share(3) == pytest.approx(t.ppf(0.975, 4) * 0.1 * (2 / 3) ** 0.5)


def test_more_seeds_resolve_smaller_differences() -> None:
    spread = Spread(readings=(9.0, 10.0, 11.0))
    assert spread.resolvable_share(5) < spread.resolvable_share(3)


def test_names_of_figures_are_whole_on_a_narrow_terminal() -> None:
    console = Console(width=80, file=io.StringIO())
    names = ("throughput.tokens_per_second", "throughput.tokens_per_cpu_second")
    self_check.show(console, report(noise=dict.fromkeys(names, Spread(readings=(1.0, 2.0)))))
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_self_check_measures_through_the_workers() -> None:
    found = self_check.measure(times=2)
    assert found.ok
    assert {len(spread.readings) for spread in found.noise.values()} == {2}
    assert set(found.noise) == {
        "memory.peak",
        "throughput.tokens_per_second",
        "throughput.tokens_per_cpu_second",
        "pace.step",
    }
