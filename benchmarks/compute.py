"""Floating-point operations of training, and their share of this machine's matrix-product peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from una_bench.instruments.flops import matmul_peak
from una_bench.instruments.phases import CALIBRATE
from una_bench.interfaces.benchmark import Benchmark
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

_ARITHMETIC = "arithmetic: matrix products of layers, output layer and attention over the tokens that went through"


class Compute(Benchmark):
    """Reads the probe after training, then measures the machine's peak in the same process and threads."""

    label: ClassVar[str] = "Compute"
    about: ClassVar[str] = "floating-point operations of training, and the share of the machine's matrix-product peak"

    def read(self, probe: Probe) -> list[Measurement]:
        """Return operations by pass, per token and per second; nothing if none were counted."""
        if not probe.flops:
            return []
        total = sum(probe.flops.values())
        how = f"{_ARITHMETIC}; all passes of all models, padding included"
        measured = [Measurement.one("compute.flops", "FLOP", Better.LOWER, total, how)]
        measured += [
            Measurement.one(f"compute.flops.{name}", "FLOP", Better.LOWER, amount, _ARITHMETIC)
            for name, amount in sorted(probe.flops.items())
        ]
        tokens = probe.totals["prompt_tokens"] + probe.totals["response_tokens"]
        if tokens:
            how = "all operations over real tokens trained on, repetitions counted"
            measured.append(Measurement.one("compute.flops_per_token", "FLOP/token", Better.LOWER, total / tokens, how))
        return [*measured, *_utilization(probe)]


def _utilization(probe: Probe) -> list[Measurement]:
    """Return the speed over whole steps after warm-up, and its share of the peak."""
    skipped = probe.step_samples().warmup
    seconds = sum(probe.samples["seconds"][skipped:])
    if not seconds:
        return []
    speed = sum(probe.samples["flops"][skipped:]) / seconds
    precision = str(probe.facts.get("precision", "float32"))
    with probe.phase(CALIBRATE):
        peak = matmul_peak(probe.device, precision)
    how = f"best of repeated square products in {precision}, measured after training in its process and threads"
    share = "operations of the steps after warm-up over their time, over the calibrated peak"
    return [
        Measurement.one("compute.flops_per_second", "FLOP/s", Better.HIGHER, speed, _ARITHMETIC),
        Measurement.one("compute.peak", "FLOP/s", Better.NEITHER, peak, how),
        Measurement.one("compute.utilization", "1", Better.HIGHER, speed / peak, share),
    ]
