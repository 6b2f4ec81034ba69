"""Energy of training, if the machine has counters; otherwise only the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from una_bench.interfaces.benchmark import Benchmark
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Energy(Benchmark):
    """Reads the machine's energy counters over the training steps, evaluations excluded."""

    label: ClassVar[str] = "Energy"
    about: ClassVar[str] = "joules of the training steps from RAPL and NVML, where the machine counts them"

    def read(self, probe: Probe) -> list[Measurement]:
        """Return joules by counter, overall and per token; the fact ``energy`` lists the counters or the reason."""
        meter = probe.energy
        if not meter.counters:
            probe.facts["energy"] = f"not available: {meter.why_not}"
            return []
        probe.facts["energy"] = ", ".join(c.name for c in meter.counters) + (f"; {meter.why_not}" * bool(meter.why_not))
        how = "counter of the whole package or card over the training steps, whatever else ran on it; never an estimate"
        total = sum(meter.joules.values())
        measured = [Measurement.one("energy.training", "J", Better.LOWER, total, f"sum of all counters: {how}")]
        measured += [
            Measurement.one(f"energy.{name}", "J", Better.LOWER, joules, how) for name, joules in meter.joules.items()
        ]
        tokens = probe.used("tokens")
        if tokens:
            per = "all joules over real tokens trained on, repetitions counted"
            measured.append(Measurement.one("energy.per_token", "J/token", Better.LOWER, total / tokens, per))
        return measured
