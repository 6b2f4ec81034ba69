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
        measured = [_joules("energy.training", total, f"sum of all counters: {how}")]
        measured += [_joules(f"energy.{name}", joules, how) for name, joules in meter.joules.items()]
        tokens = probe.used("tokens")
        if tokens:
            measured.append(
                Measurement(
                    metric="energy.per_token",
                    unit="J/token",
                    better=Better.LOWER,
                    samples=(total / tokens,),
                    how="all joules over real tokens trained on, repetitions counted",
                )
            )
        return measured


def _joules(metric: str, amount: float, how: str) -> Measurement:
    return Measurement(metric=metric, unit="J", better=Better.LOWER, samples=(amount,), how=how)
