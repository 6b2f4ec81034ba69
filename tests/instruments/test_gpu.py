"""The instruments on CUDA: ``pytest -m gpu`` on a machine with a GPU; elsewhere each test is skipped."""

from __future__ import annotations

import pytest
import torch

from una_bench.instruments import flops
from una_bench.instruments.probe import Probe

MB = 10**6
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


def allocate(size: int) -> torch.Tensor:
    return torch.ones(size, dtype=torch.uint8, device="cuda")


def test_a_known_allocation_is_the_peak_of_its_phase() -> None:
    probe = Probe(device="cuda")
    with probe.phase("forward"):
        held = allocate(60 * MB)
        del held
    assert probe.peaks["forward"].bytes == pytest.approx(60 * MB, rel=0.02)


def test_a_phase_does_not_inherit_the_peak_of_the_one_before() -> None:
    probe = Probe(device="cuda")
    with probe.phase("forward"):
        held = allocate(60 * MB)
        del held
    with probe.phase("optimizer"):
        pass
    assert probe.peaks["optimizer"].bytes < MB


def test_what_the_allocator_reserved_is_at_least_what_it_gave() -> None:
    probe = Probe(device="cuda")
    with probe.phase("forward"):
        held = allocate(60 * MB)
    assert (probe.peaks["forward"].reserved_bytes or 0) >= len(held)


def test_what_cublas_keeps_is_in_the_baseline_and_not_in_the_training() -> None:
    probe = Probe(device="cuda")
    with probe.phase("backward"):
        weights = torch.ones(64, 64, device="cuda", requires_grad=True)
        (weights @ weights).sum().backward()
    assert probe.phases.meter.baseline_bytes >= MB
    assert probe.peaks["backward"].bytes < MB


def test_the_driver_counts_what_is_held() -> None:
    probe = Probe(device="cuda")
    held = allocate(60 * MB)
    assert (probe.phases.meter.driver_bytes() or 0) >= len(held)


def test_a_step_waits_for_what_it_started() -> None:
    side = 4096
    matrix = torch.randn(side, side, device="cuda")
    matrix @ matrix
    torch.cuda.synchronize()
    probe = Probe(device="cuda")
    probe.begin_step()
    for _ in range(50):
        matrix @ matrix
    probe.end_step()
    assert probe.step_samples().seconds[0] > 50 * 2 * side**3 / 2e15  # no card multiplies float32 faster


def test_the_calibrated_peak_is_a_rate_that_a_card_can_have() -> None:
    assert 1e12 < flops.matmul_peak("cuda", "bfloat16") < 1e16
