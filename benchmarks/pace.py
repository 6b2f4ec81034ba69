"""Time of a training step in units of a reference workload, which runs between the steps in the same process."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, ClassVar

from pydantic import PrivateAttr

from una_bench.instruments.phases import YARDSTICK
from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.settings import Positive
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.instruments.reference_workload import Yardstick

MOST = 24
"""Maximum repetitions of the workload after one step."""


class Pace(Benchmark):
    """Divides step time by workload time, both without waits for a core: load and clock rate affect them alike."""

    label: ClassVar[str] = "Pace"
    about: ClassVar[str] = "time of a training step over that of a fixed piece of small work, measured between steps"
    share: Positive = 0.15
    """Time for the workload after each step, as a share of the step; at least two repetitions."""
    _yardstick: Yardstick | None = None
    _units: dict[int, float] = PrivateAttr(default_factory=dict)
    """Step number -> seconds of the workload after it."""

    def after_step(self, probe: Probe) -> None:
        """Run the workload a few times."""
        with probe.phase(YARDSTICK):
            if self._yardstick is None:
                from una_bench.instruments.reference_workload import Yardstick

                self._yardstick = Yardstick(probe.device)
                for _ in range(3):  # warm-up
                    self._yardstick.seconds()
            yardstick = self._yardstick
            unit, step = yardstick.seconds(), probe.samples["seconds"][-1]
            step -= sum(probe.samples["queued_seconds"][-1:])
            times = min(MOST, max(1, round(self.share * step / unit)))
            units = [unit, *(yardstick.seconds() for _ in range(times))]
            self._units[len(probe.samples["seconds"]) - 1] = median(units)

    def read(self, probe: Probe) -> list[Measurement]:
        """Return each step after warm-up in units, and the unit itself; nothing if no step was measured."""
        steps = probe.step_samples()
        units = self._units
        # A resumed training has no units for the steps before it was interrupted.
        kept = [i for i in range(steps.warmup, len(steps.seconds)) if i in units]
        if not kept:
            return []
        queued = steps.queued_seconds or (0.0,) * len(steps.seconds)
        beside = {i: fmean(units[n] for n in (i - 1, i) if n in units) for i in kept}
        paces = tuple(max(0.0, steps.seconds[i] - queued[i]) / beside[i] for i in kept)
        without = "without the time that the process had no core" if steps.queued_seconds else "wall time"
        how = f"each step after warm-up over the fixed work done just before and after it; {without}"
        work = f"the fixed work (una_bench.instruments.reference_workload), median over steps; {without}"
        return [
            Measurement(metric="pace.step", unit="yardstick", better=Better.LOWER, samples=paces, how=how),
            Measurement.one("pace.yardstick", "s", Better.NEITHER, median(units[i] for i in kept), work),
        ]
