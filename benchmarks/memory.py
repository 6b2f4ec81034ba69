"""Peak memory of training: overall, by phase, and what arithmetic says must have been there."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from una_bench.instruments.peak_memory import highest
from una_bench.instruments.phases import BOOKKEEPING, CALIBRATE, YARDSTICK
from una_bench.instruments.resident_memory import require_possible
from una_bench.interfaces.benchmark import Benchmark
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

_HARNESS = {CALIBRATE, BOOKKEEPING, YARDSTICK}
"""Phases that no method has."""
_OVERALL = ""
"""Stands for the overall peak among names of phases."""
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
    """Reads the probe after training. A peak that is below arithmetic fails the cell."""

    label: ClassVar[str] = "Peak memory"
    about: ClassVar[str] = "peak memory of training, overall and by phase, beside what must have been resident"

    def read(self, probe: Probe) -> list[Measurement]:
        """Return peaks above the imported baseline, and bytes by what they are."""
        own = probe.peak_bytes
        shown = sorted((n, p) for n, p in probe.peaks.items() if n not in _HARNESS)
        most = highest({_OVERALL: own} | {name: phase.bytes for name, phase in shown})
        peak = most.pop(_OVERALL)
        held = sum(probe.resident.values())
        require_possible(own, probe.resident)
        meter = probe.phases.meter
        how = meter.how
        found = [
            _bytes("memory.peak", peak, Better.LOWER, how),
            _bytes(
                "memory.baseline", probe.baseline_bytes, Better.NEITHER, "held before any model, in no other figure"
            ),
        ]
        found += [_bytes(f"memory.phase.{name}", size, Better.LOWER, how) for name, size in most.items()]
        for name, phase in shown:
            if phase.reserved_bytes is not None:
                reserved = "torch.cuda.max_memory_reserved"
                found.append(_bytes(f"memory.reserved.{name}", phase.reserved_bytes, Better.LOWER, reserved))
        driver = meter.driver_bytes()
        if driver is not None:
            said = "what the driver says is in use on the device after training, all processes, contexts included"
            found.append(_bytes("memory.driver", driver, Better.NEITHER, said))
        if not probe.resident:
            return found
        for name, size in probe.resident.items():
            what = _PARTS.get(name, name)
            found.append(_bytes(f"memory.resident.{name}", size, Better.NEITHER, f"arithmetic: {what}"))
        rest = "remainder of the peak: activations, buffers, generation's cache, allocator"
        return [*found, _bytes("memory.resident.activations", own - held, Better.NEITHER, rest)]


def _bytes(metric: str, size: int, better: Better, how: str) -> Measurement:
    return Measurement(metric=metric, unit="B", better=better, samples=(float(size),), how=how)
