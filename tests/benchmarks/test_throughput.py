"""The throughput benchmark on a fake trainer with given times and counts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from una_bench.benchmarks.throughput import Throughput

from una_bench.instruments.peak_memory import Peak
from una_bench.instruments.probe import Probe
from una_bench.record.schema import Measurement


@dataclass
class Clock:
    """Clock that a test advances."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class NoMemory:
    """Meter without readings, so that rates do not depend on this machine."""

    how, baseline_bytes = "none", 0

    def reset(self) -> None: ...

    def peak(self) -> Peak:
        return Peak(bytes=0)

    def trim(self) -> None: ...

    def driver_bytes(self) -> None: ...


@dataclass(frozen=True)
class Step:
    """Time and counts of one fake training step."""

    seconds: float
    prompt: int = 0
    response: int = 0
    padding: int = 0
    responses: int = 0
    optimizer: int = 1


def train(*steps: Step, warmup: int = 0) -> Probe:
    """Advance the clock and count; two CPU seconds pass per wall second."""
    clock, cpu_clock = Clock(), Clock()
    probe = Probe(clock=clock, cpu_clock=cpu_clock, memory=NoMemory(), warmup=warmup)
    for step in steps:
        probe.begin_step()
        clock.now += step.seconds
        cpu_clock.now += 2 * step.seconds
        probe.count(
            responses=step.responses,
            prompt_tokens=step.prompt,
            response_tokens=step.response,
            padding_tokens=step.padding,
            optimizer_steps=step.optimizer,
        )
        probe.end_step()
    return probe


def rates(probe: Probe) -> dict[str, float]:
    return {m.metric.removeprefix("throughput."): m.value for m in Throughput().read(probe)}


def test_a_rate_is_total_over_total() -> None:
    probe = train(Step(1.0, response=100), Step(3.0, response=100))
    assert rates(probe)["tokens_per_second"] == 50.0  # not the mean of 100 and 33.3


def test_warm_up_is_left_out() -> None:
    probe = train(Step(100.0, response=1), Step(1.0, response=7), warmup=1)
    assert rates(probe)["tokens_per_second"] == 7.0


def test_padding_is_never_counted_as_tokens() -> None:
    assert rates(train(Step(2.0, prompt=4, response=6, padding=1000)))["tokens_per_second"] == 5.0


def test_response_tokens_have_a_rate_of_their_own() -> None:
    assert rates(train(Step(2.0, prompt=4, response=6)))["response_tokens_per_second"] == 3.0


def test_samples_are_responses() -> None:
    assert rates(train(Step(2.0, responses=64)))["samples_per_second"] == 32.0


def test_optimizer_steps_are_counted_and_not_assumed() -> None:
    assert rates(train(Step(4.0, optimizer=16)))["optimizer_steps_per_second"] == 4.0


def test_cpu_time_has_rates_of_its_own() -> None:
    assert rates(train(Step(2.0, response=8)))["tokens_per_cpu_second"] == 2.0


def test_the_share_of_padding_is_of_all_tokens() -> None:
    assert rates(train(Step(1.0, prompt=2, response=4, padding=2)))["padding_share"] == 0.25


def test_what_the_instruments_took_is_reported() -> None:
    assert rates(train(Step(1.0, response=4)))["instrument_share"] == 0.0


def test_a_run_without_steps_has_no_rates() -> None:
    assert rates(train()) == {}


def test_a_rate_says_how_many_steps_it_rests_on() -> None:
    found: list[Measurement] = Throughput().read(train(Step(1.0, response=4), Step(1.0, response=4), warmup=1))
    assert "1 steps, after 1 of warm-up" in found[0].how


@pytest.mark.parametrize("name", ["tokens_per_second", "samples_per_second"])
def test_no_time_gives_no_rate(name: str) -> None:
    assert name not in rates(train(Step(0.0, response=4, responses=2)))
