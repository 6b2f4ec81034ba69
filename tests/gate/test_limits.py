"""Limits of the gate, from runs of unchanged code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gate_records import one

from una_bench.gate import baseline, limits, update
from una_bench.gate.figures import Gauge, Kind
from una_bench.record.schema import Better


def noisy(*values: float, name: str = "pace.step") -> baseline.Entry:
    found = [Gauge(name=name, kind=Kind.NOISY, value=v, better=Better.LOWER) for v in values]
    entry = limits.entry(found)
    assert entry is not None
    return entry


def test_a_noisy_limit_is_twice_the_range_of_unchanged_code() -> None:
    entry = noisy(10.0, 11.6, 10.8)
    assert entry.here == (pytest.approx(10.8 / 1.32), pytest.approx(10.8 * 1.32))
    assert "A/A of 3 runs: range 16.0%" in entry.source


@pytest.mark.parametrize("values", [(10.0, 10.0), (10.0, 19.0), (10.0,)])
def test_a_step_half_as_long_again_is_out_of_the_limit_of_the_same_machine(values: tuple[float, ...]) -> None:
    entry = noisy(*values)
    assert entry.here != "exact" and entry.here[1] is not None and entry.here[1] < 1.5 * float(entry.value)
    assert entry.elsewhere == pytest.approx((float(entry.value) / 1.6, float(entry.value) * 1.6))


@pytest.mark.parametrize("values", [(10.0, 10.0), (10.0, 19.0), (10.0,)])
def test_three_tenths_more_memory_is_out_of_every_limit(values: tuple[float, ...]) -> None:
    entry = noisy(*values, name="memory.peak_over_held")
    assert entry.here != "exact" and entry.here[1] is not None and entry.here[1] < 1.3 * float(entry.value)
    assert entry.elsewhere == pytest.approx((float(entry.value) / 1.5, float(entry.value) * 1.5))


def test_quality_has_the_interval_of_a_difference_over_seeds() -> None:
    found = [Gauge(name="oracle.regret.train", kind=Kind.QUALITY, value=0.5, better=Better.LOWER)]
    entry = limits.entry(found, [0.5, 0.52, 0.54])
    assert entry is not None and entry.here != "exact"
    half = 9.9248 * 0.02 * 2**0.5  # Student's t, 99 %, two degrees of freedom
    assert entry.here[1] == pytest.approx(0.5 + half, rel=1e-4)


def test_a_loss_that_unchanged_code_does_not_repeat_has_its_range_for_limits(write: Callable[..., Path]) -> None:
    made = update.make([write("a", one()), write("b", one(loss=0.41))])
    entry = made.cells["dpo-s0"]["loss.128"]
    assert entry.here == (pytest.approx(0.38), pytest.approx(0.42))
    assert entry.source.startswith("NOT REPEATED by 2 runs")


def test_a_hash_that_unchanged_code_does_not_repeat_is_left_out(write: Callable[..., Path]) -> None:
    made = update.make([write("a", one()), write("b", one(facts={"final_weights_sha256": "ee" * 32}))])
    assert "weights.final" not in made.cells["dpo-s0"]
