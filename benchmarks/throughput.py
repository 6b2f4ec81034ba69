"""Throughput of training: real tokens, responses and optimizer steps per second of wall and CPU time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from una_bench.instruments.phases import NOT_TRAINING
from una_bench.instruments.probe import COUNTS
from una_bench.interfaces.benchmark import Benchmark
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.record.schema import StepSamples


class Throughput(Benchmark):
    """Rates over whole steps after warm-up: total work over total time, never a mean of rates."""

    label: ClassVar[str] = "Throughput"
    about: ClassVar[str] = "real tokens, responses and optimizer steps per second, warm-up and padding left out"

    def read(self, probe: Probe) -> list[Measurement]:
        """Return the rates of the steps after warm-up."""
        steps = probe.step_samples()
        if not steps.seconds:
            return []
        work = {name: _sum(getattr(steps, name), steps) for name in COUNTS}
        tokens = work["prompt_tokens"] + work["response_tokens"]
        wall, cpu = _sum(steps.seconds, steps), _sum(steps.cpu_seconds, steps)
        measured = len(steps.seconds) - steps.warmup
        how = f"total over total of {measured} steps, after {steps.warmup} of warm-up; padding and evaluations left out"
        cpu_time = "; CPU time of all threads"
        rates = {
            "tokens_per_second": ("token/s", tokens, wall),
            "response_tokens_per_second": ("token/s", work["response_tokens"], wall),
            "samples_per_second": ("sample/s", work["responses"], wall),
            "optimizer_steps_per_second": ("step/s", work["optimizer_steps"], wall),
            "tokens_per_cpu_second": ("token/s", tokens, cpu),
            "samples_per_cpu_second": ("sample/s", work["responses"], cpu),
        }
        measured = [
            Measurement.one(
                f"throughput.{name}", unit, Better.HIGHER, amount / seconds, how + cpu_time * (seconds is cpu)
            )
            for name, (unit, amount, seconds) in rates.items()
            if seconds > 0
        ]
        seconds = sum(peak.seconds for name, peak in probe.peaks.items() if name not in _AROUND)
        how = "all phases but loading, saving and the harness's own; a reference pass before training is inside"
        training = Measurement.one("throughput.training_seconds", "s", Better.LOWER, seconds, how)
        return [*measured, training, *_shares(probe, steps, tokens, work["padding_tokens"])]


_AROUND = NOT_TRAINING | {"load", "save"}


def _sum(samples: Sequence[float], steps: StepSamples) -> float:
    return float(sum(samples[steps.warmup :]))


def _shares(probe: Probe, steps: StepSamples, tokens: float, padding: float) -> list[Measurement]:
    """Return the shares of padding in tokens and of the instruments in time."""
    measured = []
    if tokens + padding > 0:
        how = "padding over all tokens of the batches, warm-up left out"
        share = padding / (tokens + padding)
        measured.append(Measurement.one("throughput.padding_share", "1", Better.LOWER, share, how))
    seconds = sum(steps.seconds)
    if seconds > 0:
        how = "time spent reading peaks over time of all steps; it is inside the rates"
        share = probe.phases.instrument_seconds / seconds
        measured.append(Measurement.one("throughput.instrument_share", "1", Better.LOWER, share, how))
    return measured
