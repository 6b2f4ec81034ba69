"""The instruments: peaks by phase, steps, and exclusions from both."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from una_bench.instruments.peak_memory import Peak, ResidentMeter
from una_bench.instruments.probe import Probe

MB = 10**6
TOLERANCE = 2 * MB
"""Page rounding, and the interpreter's own allocations."""


@dataclass
class Clock:
    """Clock that a test advances."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeMeter:
    """Meter with given peaks, one per reading; 0 after the last."""

    readings: Sequence[int] = ()
    how: str = "dictated"
    baseline_bytes: int = 0
    trimmed: int = 0
    _left: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._left = iter(self.readings)

    def reset(self) -> None: ...

    def peak(self) -> Peak:
        return Peak(bytes=next(self._left, 0))

    def trim(self) -> None:
        self.trimmed += 1

    def driver_bytes(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock, **options: Any) -> Probe:
    return Probe(clock=clock, cpu_clock=clock, memory=options.pop("memory", FakeMeter()), **options)


def allocate(size: int) -> mmap.mmap:
    """Map pages of their own, gone with the last reference, and touch each, or nothing becomes resident.

    From the heap, a hole that an earlier test left could serve the allocation, and keep it resident after ``del``.
    """
    pages = mmap.mmap(-1, size)
    for start in range(0, size, mmap.PAGESIZE):
        pages[start] = 1
    return pages


def allocate_from_heap(size: int) -> bytearray:
    """Allocate with malloc and touch every page."""
    return bytearray(b"x") * size


def test_a_known_allocation_is_the_peak_of_its_phase() -> None:
    probe = Probe()
    with probe.phase("forward"):
        kept = allocate(60 * MB)
    assert probe.peaks["forward"].bytes == pytest.approx(len(kept), abs=TOLERANCE)


def test_a_peak_too_short_for_a_sampler_is_seen() -> None:
    probe = Probe()
    with probe.phase("forward"):
        del_at_once = allocate(60 * MB)
        del del_at_once
    assert probe.peaks["forward"].bytes == pytest.approx(60 * MB, abs=TOLERANCE)


def test_a_phase_does_not_inherit_the_peak_of_the_one_before() -> None:
    probe = Probe()
    with probe.phase("forward"):
        gone = allocate(60 * MB)
        del gone
    with probe.phase("optimizer"):
        kept = allocate(20 * MB)
    assert probe.peaks["optimizer"].bytes == pytest.approx(len(kept), abs=TOLERANCE)


def test_the_inner_of_two_phases_keeps_its_peak_from_the_outer() -> None:
    probe = Probe()
    with probe.phase("outer"), probe.phase("inner"):
        gone = allocate(60 * MB)
        del gone
    assert probe.peaks["outer"].bytes < TOLERANCE


def test_what_was_held_before_the_probe_is_not_counted() -> None:
    held = allocate(60 * MB)
    probe = Probe()
    assert probe.peak_bytes < TOLERANCE < len(held)


def test_the_overall_peak_sees_what_ran_in_no_phase() -> None:
    probe = Probe()
    kept = allocate(60 * MB)
    assert probe.peak_bytes == pytest.approx(len(kept), abs=TOLERANCE)


def test_holes_that_imports_left_do_not_swallow_an_allocation() -> None:
    blocks = [allocate_from_heap(100_000) for _ in range(600)]  # below the size that is mapped apart
    guard = allocate_from_heap(100_000)
    del blocks
    probe = Probe()
    kept = [allocate_from_heap(100_000) for _ in range(500)]
    assert probe.peak_bytes == pytest.approx(sum(map(len, kept)), abs=TOLERANCE), len(guard)


def test_reading_a_peak_costs_under_a_tenth_of_a_millisecond() -> None:
    probe = Probe()
    for _ in range(200):
        with probe.phase("forward"):
            pass
    assert probe.phases.instrument_seconds / 400 < 1e-4


def test_a_meter_names_how_it_reads() -> None:
    assert "VmHWM" in ResidentMeter().how


def test_a_phase_that_never_ran_is_absent(clock: Clock) -> None:
    probe = make(clock)
    with probe.phase("forward"):
        pass
    assert "rollout" not in probe.peaks


def test_time_of_a_phase_leaves_out_the_phases_inside(clock: Clock) -> None:
    probe = make(clock)
    with probe.phase("forward"):
        clock.sleep(1.0)
        with probe.phase("backward"):
            clock.sleep(10.0)
        clock.sleep(2.0)
    assert probe.peaks["forward"].seconds == 3.0


def test_phases_add_up_to_all_time(clock: Clock) -> None:
    probe = make(clock)
    clock.sleep(5.0)
    with probe.phase("forward"):
        clock.sleep(1.0)
        with probe.phase("backward"):
            clock.sleep(10.0)
    clock.sleep(2.0)
    assert probe.peak_bytes == 0
    assert sum(peak.seconds for peak in probe.peaks.values()) == 18.0


def test_a_phase_left_by_an_exception_is_closed(clock: Clock) -> None:
    probe = make(clock)
    with pytest.raises(KeyError), probe.phase("forward"):
        raise KeyError
    clock.sleep(4.0)
    with probe.phase("backward"):
        pass
    assert probe.peaks["other"].seconds == 4.0


def test_the_peak_of_a_phase_is_the_highest_of_its_runs(clock: Clock) -> None:
    probe = make(clock, memory=FakeMeter([0, 70, 0, 30]))
    for _ in range(2):
        with probe.phase("forward"):
            pass
    assert probe.peaks["forward"].bytes == 70


def test_a_step_lasts_from_begin_to_end(clock: Clock) -> None:
    probe = make(clock)
    clock.sleep(7.0)
    probe.begin_step()
    clock.sleep(2.0)
    probe.end_step()
    assert probe.step_samples().seconds == (2.0,)


def test_counts_outside_a_step_enter_only_the_totals(clock: Clock) -> None:
    probe = make(clock)
    probe.count(responses=3)
    probe.begin_step()
    probe.count(responses=4)
    probe.end_step()
    assert (probe.totals["responses"], probe.step_samples().responses) == (7, (4,))


def test_ending_a_step_that_never_began_is_an_error(clock: Clock) -> None:
    with pytest.raises(RuntimeError, match="begin_step"):
        make(clock).end_step()


def test_warm_up_leaves_at_least_one_step(clock: Clock) -> None:
    probe = make(clock, warmup=3)
    for _ in range(2):
        probe.begin_step()
        probe.end_step()
    assert probe.step_samples().warmup == 1


def evaluated_inside_a_step(clock: Clock, **options: Any) -> Probe:
    def watch(policy: Any) -> dict[str, float]:
        clock.sleep(100.0)
        return {"oracle.regret": float(policy)}

    probe = make(clock, evaluate_at=[8, 16], watchers=[watch], **options)
    probe.begin_step()
    clock.sleep(1.0)
    probe.count(responses=8)
    probe.check(0.25)
    clock.sleep(1.0)
    probe.end_step()
    return probe


def test_evaluation_is_not_training_time(clock: Clock) -> None:
    assert evaluated_inside_a_step(clock).step_samples().seconds == (2.0,)


def test_evaluation_is_not_training_cpu_time(clock: Clock) -> None:
    assert evaluated_inside_a_step(clock).step_samples().cpu_seconds == (2.0,)


def test_evaluation_is_not_in_the_overall_peak(clock: Clock) -> None:
    probe = evaluated_inside_a_step(clock, memory=FakeMeter([50, 900]))
    assert probe.peak_bytes == 50


def test_what_evaluation_freed_is_handed_back(clock: Clock) -> None:
    meter = FakeMeter()
    evaluated_inside_a_step(clock, memory=meter)
    assert meter.trimmed == 1


def test_watchers_are_called_once_at_each_point(clock: Clock) -> None:
    probe = evaluated_inside_a_step(clock)
    probe.check(0.5)
    probe.count(responses=8)
    probe.check(0.75)
    assert probe.curves["oracle.regret"] == ([8.0, 16.0], [0.25, 0.75])


def test_points_that_one_step_jumps_over_are_one_evaluation(clock: Clock) -> None:
    probe = make(clock, evaluate_at=[1, 2, 3], watchers=[lambda policy: {"m": 1.0}])
    probe.count(responses=3)
    probe.check(None)
    assert probe.curves["m"] == ([3.0], [1.0])


def test_bookkeeping_of_the_harness_is_not_in_the_overall_peak(clock: Clock) -> None:
    probe = make(clock, memory=FakeMeter([50, 900, 40]))
    with probe.phase("bookkeeping"):
        pass
    assert probe.peak_bytes == 50


def test_touching_code_leaves_the_random_state_alone() -> None:
    import torch

    from una_bench.worker.first_touch import touch_code

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    touch_code()
    assert torch.rand(1) == expected
