"""The memory benchmark: readings, their description, and refused readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from una_bench.benchmarks.memory import Memory

from una_bench.instruments import resident_memory
from una_bench.instruments.peak_memory import Peak
from una_bench.instruments.probe import Probe
from una_bench.record.schema import Measurement


@dataclass
class Dictated:
    """Meter with given peaks; the last one stays."""

    readings: Sequence[Peak]
    how: str = "dictated"
    baseline_bytes: int = 1000
    driver: int | None = None
    _left: Iterator[Peak] = field(init=False)

    def __post_init__(self) -> None:
        self._left = iter(self.readings)

    def reset(self) -> None: ...

    def peak(self) -> Peak:
        return next(self._left, self.readings[-1])

    def trim(self) -> None: ...

    def driver_bytes(self) -> int | None:
        return self.driver


def trained(meter: Dictated, **resident_bytes: int) -> Probe:
    probe = Probe(memory=meter, resident=resident_bytes)
    with probe.phase("forward"):
        pass
    return probe


def by_metric(probe: Probe) -> dict[str, Measurement]:
    return {m.metric: m for m in Memory().read(probe)}


def peaks(*sizes: int) -> list[Peak]:
    return [Peak(bytes=size) for size in sizes]


def test_the_overall_peak_is_the_highest_of_all_phases() -> None:
    assert by_metric(trained(Dictated(peaks(3, 90, 5))))["memory.peak"].value == 90


def test_each_phase_has_its_own_peak() -> None:
    assert by_metric(trained(Dictated(peaks(3, 90, 5))))["memory.phase.forward"].value == 90


def test_a_phase_that_never_ran_is_absent() -> None:
    assert "memory.phase.rollout" not in by_metric(trained(Dictated(peaks(1))))


def test_a_peak_says_how_it_was_read() -> None:
    assert by_metric(trained(Dictated(peaks(1))))["memory.peak"].how == "dictated"


def test_what_the_peak_holds_beyond_arithmetic_is_the_remainder() -> None:
    found = by_metric(trained(Dictated(peaks(100)), weights=20, optimizer=40))
    assert found["memory.resident.activations"].value == 40


def test_a_peak_below_what_must_be_resident_is_refused() -> None:
    with pytest.raises(resident_memory.ImpossibleReadingError, match="weights 20"):
        Memory().read(trained(Dictated(peaks(50)), weights=20, optimizer=40))


def test_without_arithmetic_there_is_no_remainder() -> None:
    assert "memory.resident.activations" not in by_metric(trained(Dictated(peaks(100))))


def test_an_accelerator_also_reports_what_was_reserved() -> None:
    probe = trained(Dictated([Peak(bytes=5, reserved_bytes=8)]))
    assert by_metric(probe)["memory.reserved.forward"].value == 8


def test_an_accelerator_also_reports_what_its_driver_says() -> None:
    assert by_metric(trained(Dictated(peaks(1), driver=77)))["memory.driver"].value == 77


def test_every_figure_is_in_bytes() -> None:
    assert {m.unit for m in by_metric(trained(Dictated(peaks(100)), weights=20)).values()} == {"B"}


def test_weights_are_four_bytes_a_parameter_in_float32() -> None:
    assert resident_memory.module_bytes(torch.nn.Linear(10, 7)) == 4 * (10 * 7 + 7)


def test_tied_weights_count_once() -> None:
    first, second = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    assert resident_memory.module_bytes(torch.nn.Sequential(first, second)) == 4 * 64


def test_frozen_parameters_have_no_gradient_bytes() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 4, bias=False))
    layers[0].requires_grad_(False)
    assert resident_memory.gradient_bytes(layers) == 4 * 32


def test_adam_keeps_two_moments_and_a_step_for_each_tensor() -> None:
    layer = torch.nn.Linear(10, 7)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 10)).sum().backward()
    optimizer.step()
    assert resident_memory.optimizer_bytes(optimizer) == 2 * resident_memory.module_bytes(layer) + 2 * 4


def test_a_model_that_is_not_there_is_absent_and_not_zero() -> None:
    layer = torch.nn.Linear(2, 2)
    found = resident_memory.training_bytes(layer, torch.optim.AdamW(layer.parameters()), reference=None, value=layer)
    assert set(found) == {"weights", "gradients", "optimizer", "value"}
