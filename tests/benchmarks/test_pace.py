"""The reference workload, and step times in its units."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from una_bench.benchmarks.pace import Pace

from una_bench.instruments import run_queue
from una_bench.instruments.probe import Probe
from una_bench.instruments.reference_workload import Yardstick


class Clock:
    """Clock that a test advances."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Known:
    """Workload of given duration."""

    def __init__(self, clock: Clock, *units: float) -> None:
        self.clock, self.units = clock, iter(units)

    def seconds(self) -> float:
        unit = next(self.units)
        self.clock.now += unit
        return unit


def endless(*units: float) -> Iterator[float]:
    while True:
        yield from units


def trained(steps: list[tuple[float, float]], *units: float) -> tuple[Probe, Pace]:
    """Run steps of (wall, queued) seconds, with workloads of ``units`` seconds."""
    clock, queue = Clock(), Clock()
    pace = Pace()
    probe = Probe(clock=clock, cpu_clock=clock, queue_clock=queue, warmup=1, on_step=pace.after_step)
    pace._yardstick = Known(clock, *(u for u, _ in zip(endless(*units), range(999), strict=False)))  # type: ignore[assignment]
    for wall, queued in steps:
        probe.begin_step()
        clock.now += wall
        queue.now += queued
        probe.end_step()
    return probe, pace


def test_a_step_is_counted_in_units_of_the_work_around_it() -> None:
    probe, pace = trained([(9.0, 0.0), (4.0, 0.0), (6.0, 0.0)], 2.0)
    step, unit = pace.read(probe)
    assert step.samples == (2.0, 3.0)
    assert unit.samples == (2.0,)


def test_time_without_a_core_is_no_part_of_a_step() -> None:
    probe, pace = trained([(9.0, 0.0), (10.0, 6.0)], 2.0)
    assert pace.read(probe)[0].samples == (2.0,)


def test_the_yardstick_is_no_part_of_a_step_and_no_phase_of_training() -> None:
    probe, _ = trained([(9.0, 0.0), (4.0, 0.0)], 2.0)
    assert probe.samples["seconds"] == [9.0, 4.0]
    assert probe.peaks["yardstick"].seconds == 8.0
    assert probe.phases.training


def test_a_long_step_has_more_units_after_it() -> None:
    probe, _ = trained([(100.0, 0.0)], 1.0)
    assert probe.peaks["yardstick"].seconds == 16.0  # one, and 15 % of the step


def test_without_steps_there_is_no_pace() -> None:
    assert Pace().read(Probe()) == []


def test_the_queue_is_kept_beside_the_step() -> None:
    probe, _ = trained([(9.0, 1.0), (10.0, 6.0)], 2.0)
    assert probe.step_samples().queued_seconds == (1.0, 6.0)


def test_where_the_kernel_does_not_tell_there_are_no_samples_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "SOURCE", run_queue.SOURCE / "absent")
    probe = Probe()
    probe.begin_step()
    probe.end_step()
    assert probe.step_samples().queued_seconds == ()


def test_the_yardstick_always_does_the_same() -> None:
    yardstick = Yardstick()
    before = [w.detach().clone() for w in yardstick.weights]
    assert min(yardstick.seconds() for _ in range(5)) > 1e-4
    assert all(torch.equal(a, b) for a, b in zip(before, yardstick.weights, strict=True))


def test_the_yardstick_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    Yardstick().seconds()
    assert torch.equal(before, torch.get_rng_state())


def test_the_yardstick_works_inside_no_grad() -> None:
    with torch.no_grad():
        assert Yardstick().seconds() > 0
