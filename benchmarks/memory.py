"""Peak memory of training, overall and by phase, with the calculated resident memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from una_bench.instruments.peak_memory import highest
from una_bench.instruments.phases import BOOKKEEPING, CALIBRATE, YARDSTICK
from una_bench.instruments.resident_memory import require_possible
from una_bench.interfaces.benchmark import Benchmark
from una_bench.machine import processes
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

_HARNESS = {CALIBRATE, BOOKKEEPING, YARDSTICK}
"""Phases of the harness, not shown."""
_OVERALL = ""
"""Name of the overall peak among those of phases."""
_PARTS = {
    "weights": "parameters and buffers of the policy, adapters included",
    "gradients": "gradients of everything trained, between backward and optimizer step",
    "optimizer": "state that the optimizer keeps from step to step",
    "reference": "the reference model",
    "value": "the value model",
    "reward": "the reward model",
    "heads": "heads trained beside the policy",
}


class Memory(Benchmark):
    """Reads the probe after training. A peak below the calculated minimum fails the cell."""

    label: ClassVar[str] = "Peak memory"
    about: ClassVar[str] = "peak memory of training, overall and by phase, beside what must have been resident"

    def read(self, probe: Probe) -> list[Measurement]:
        """Return peaks above the baseline after imports, and resident bytes by kind."""
        process_peak = probe.peak_bytes
        shown = sorted((n, p) for n, p in probe.peaks.items() if n not in _HARNESS)
        most = highest({_OVERALL: process_peak} | {name: phase.bytes for name, phase in shown})
        peak = most.pop(_OVERALL)
        held = sum(probe.resident.values())
        require_possible(process_peak, probe.resident)
        meter = probe.phases.meter
        how = meter.how
        if processes.count() > 1:
            how += f"; the largest of {processes.count()} processes, each counted by itself"
        before = "held before any model, in no other figure"
        measured = [
            _bytes("memory.peak", peak, Better.LOWER, how),
            _bytes("memory.baseline", meter.baseline_bytes, Better.NEITHER, before),
        ]
        measured += [_bytes(f"memory.phase.{name}", size, Better.LOWER, how) for name, size in most.items()]
        for name, phase in shown:
            if phase.reserved_bytes is not None:
                reserved = "torch.cuda.max_memory_reserved"
                measured.append(_bytes(f"memory.reserved.{name}", phase.reserved_bytes, Better.LOWER, reserved))
        driver = meter.driver_bytes()
        if driver is not None:
            in_use = "what the driver says is in use on the device after training, all processes, contexts included"
            measured.append(_bytes("memory.driver", driver, Better.NEITHER, in_use))
        if not probe.resident:
            return measured
        for name, size in probe.resident.items():
            what = _PARTS.get(name, name)
            measured.append(_bytes(f"memory.resident.{name}", size, Better.NEITHER, f"arithmetic: {what}"))
        rest = "remainder of the peak: activations, buffers, generation's cache, allocator"
        return [*measured, _bytes("memory.resident.activations", process_peak - held, Better.NEITHER, rest)]


def _bytes(metric: str, size: int, better: Better, how: str) -> Measurement:
    return Measurement.one(metric, "B", better, float(size), how)
