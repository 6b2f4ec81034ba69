"""The `Probe` on which a method opens phases and steps: memory by phase, time and tokens by training step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from una_bench.instruments import energy, run_queue
from una_bench.instruments.peak_memory import PeakMeter, meter, synchronize
from una_bench.instruments.phases import EVALUATE, Phases
from una_bench.instruments.training_curves import Trace
from una_bench.machine import processes
from una_bench.record.schema import StepSamples

COUNTS = ("responses", "prompt_tokens", "response_tokens", "padding_tokens", "optimizer_steps")
BEFORE = "reference_seconds_before_training"
Watcher = Callable[[Any], Mapping[str, float]]
"""Policy during training -> cheap metrics."""


@dataclass
class Probe:
    """Measurements of one training run.

    Memory is read by `una_bench.instruments.peak_memory`, relative to its level when the probe was created (after
    imports, before any model), and reset at every phase boundary, so that each peak belongs to one phase.
    """

    device: str = "cpu"
    clock: Callable[[], float] = time.perf_counter
    cpu_clock: Callable[[], float] = time.process_time
    queue_clock: Callable[[], float] | None = field(default_factory=run_queue.queue_clock)
    """Seconds of waiting for a core; None if the kernel does not count them."""
    warmup: int = 3
    """Leading steps excluded from rates."""
    evaluate_at: Sequence[float] = ()
    """Points on ``axis`` at which the watchers are called."""
    axis: str = "responses"
    """Unit of ``evaluate_at``: a kind of `una_bench.interfaces.budget`."""
    watchers: Sequence[Watcher] = ()
    on_step: Callable[[Probe], None] | None = None
    """Called after every step, for progress."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts for the fairness ledger; methods add to them."""
    resident: dict[str, int] = field(default_factory=dict)
    """Calculated resident bytes by kind (`una_bench.instruments.resident_memory`), set by training."""
    flops: dict[str, float] = field(default_factory=dict)
    """Calculated floating-point operations by pass, without evaluations (`una_bench.instruments.flops`)."""
    memory: PeakMeter | None = None
    """Reads the peaks; None: the meter of ``device``."""
    counted: energy.EnergyMeter | None = None
    """Counts the joules of steps; None: the meter of ``device``."""

    def __post_init__(self) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.trace = Trace()
        self.curves = self.trace.curves
        """Responses trained on and values at these points, by metric."""
        self.totals = dict.fromkeys(COUNTS, 0)
        self.marks: dict[str, float] = {}
        """Values that a resumed training needs."""
        self.paused_seconds = 0.0
        self._seconds = 0.0
        self._open: dict[str, int] | None = None
        self._pending = sorted(self.evaluate_at)
        self.energy = self.counted or energy.meter(self.device)
        self.phases = Phases(self.memory or meter(self.device), self.clock)
        self.peaks = self.phases.peaks
        """Time and memory by phase; a phase that never ran is absent."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Attribute memory and time to ``name``; a nested phase has its own peak and time."""
        return self.phases(name)

    @property
    def peak_bytes(self) -> int:
        """Training peak above the baseline, evaluations excluded."""
        return self.phases.peak_bytes

    def begin_step(self) -> None:
        """Open a step: everything until `end_step` is training time."""
        reference = self.phases.peaks.get("reference")  # other methods run this pass inside their steps
        self.marks.setdefault(BEFORE, reference.seconds if reference else 0.0)
        self._open = dict.fromkeys(COUNTS, 0)
        self._paused: tuple[float, ...] = (0.0, 0.0, 0.0)
        self._flops_before = sum(self.flops.values())
        synchronize(self.device)
        self.energy.start()
        self._begun = self._clocks()

    def count(self, **counts: int) -> None:
        """Add responses, tokens or optimizer steps to the open step; outside a step they only enter the totals."""
        for name, number in counts.items():
            self.totals[name] += number
            if self._open is not None:
                self._open[name] += number

    def add_flops(self, name: str, operations: float) -> None:
        """Add floating-point operations to the pass ``name``, except during evaluations."""
        if operations and self.phases.training:
            self.flops[name] = self.flops.get(name, 0.0) + operations

    def end_step(self) -> None:
        """Close the step and store its sample."""
        if self._open is None:
            raise RuntimeError("end_step without begin_step")
        synchronize(self.device)
        spent = [now - begun - out for now, begun, out in zip(self._clocks(), self._begun, self._paused, strict=True)]
        self.energy.stop()
        self._seconds += spent[0]
        for name, seconds in zip(("seconds", "cpu_seconds", "queued_seconds"), spent, strict=True):
            if name != "queued_seconds" or self.queue_clock is not None:
                self.samples[name].append(seconds)
        self.samples["flops"].append(sum(self.flops.values()) - self._flops_before)
        for name in COUNTS:
            self.samples[name].append(self._open[name])
        self._open = None
        if self.on_step is not None:
            self.on_step(self)

    def join_processes(self) -> None:
        """Make the figures that processes count apart, operations and time on cores, their sums; a collective call.

        Responses and tokens are sums already, and peaks stay those of this process.
        """
        if processes.count() == 1:
            return
        self.flops.update(processes.total(self.flops))
        self.energy.joules |= processes.total({k: v for k, v in self.energy.joules.items() if k.startswith("gpu")})
        for name in ("cpu_seconds", "flops"):
            parts = processes.gather(self.samples[name])
            self.samples[name] = [sum(step) for step in zip(*parts, strict=True)]

    def _clocks(self) -> tuple[float, float, float]:
        """Return the seconds of wall time, CPU time and waiting for a core."""
        return self.clock(), self.cpu_clock(), 0.0 if self.queue_clock is None else self.queue_clock()

    def used(self, kind: str) -> float:
        """Return how much of a budget of this kind (`una_bench.interfaces.budget`) training has used so far."""
        if kind == "tokens":
            return self.totals["prompt_tokens"] + self.totals["response_tokens"]
        if kind == "flops":
            return sum(self.flops.values())
        if kind == "seconds":
            now = 0.0 if self._open is None else self.clock() - self._begun[0] - self._paused[0]
            return self.marks.get(BEFORE, 0.0) + self._seconds + now
        return self.totals["optimizer_steps" if kind == "steps" else kind]

    def observe(self, metrics: Mapping[str, float], *, x: float | None = None) -> None:
        """Add one point to each metric's curve, at ``x`` responses (default: those trained on so far)."""
        at = float(self.totals["responses"] if x is None else x)
        self.trace.add(metrics, at)
        if x is None and metrics:
            self.trace.mark(self.used)

    @property
    def due(self) -> bool:
        """Whether training has reached the next point of ``evaluate_at``."""
        return bool(self._pending) and self.used(self.axis) >= self._pending[0]

    def check(self, policy: Any) -> None:
        """Call the watchers if training has reached the next point of ``evaluate_at``; excluded from training time."""
        if not self.due:
            return
        used = self.used(self.axis)
        while self._pending and used >= self._pending[0]:
            self._pending.pop(0)
        begun = self._clocks()
        self.energy.stop()
        with self.phase(EVALUATE):
            for watcher in self.watchers:
                self.observe(watcher(policy))
        now = self._clocks()
        self.paused_seconds += now[0] - begun[0]
        if self._open is not None:
            self.energy.start()
            self._paused = tuple(out + end - start for out, start, end in zip(self._paused, begun, now, strict=True))

    def step_samples(self) -> StepSamples:
        """Return the raw samples for the record."""
        counts = {name: tuple(int(v) for v in self.samples[name]) for name in COUNTS}
        return StepSamples(
            seconds=tuple(self.samples["seconds"]),
            cpu_seconds=tuple(self.samples["cpu_seconds"]),
            queued_seconds=tuple(self.samples["queued_seconds"]),
            warmup=min(self.warmup, max(0, len(self.samples["seconds"]) - 1)),
            **counts,
        )

    def state(self) -> dict[str, Any]:
        """Return the measurements so far, as JSON, for a resumed training."""
        return {
            "samples": dict(self.samples),
            "trace": self.trace.state(),
            "marks": self.marks,
            "totals": self.totals,
            "flops": self.flops,
            "pending": self._pending,
            "paused_seconds": self.paused_seconds,
            "joules": self.energy.joules,
            "phases": self.phases.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`; the downtime between the two processes is not counted."""
        self.samples.update({name: list(values) for name, values in state["samples"].items()})
        self.trace.restore(state["trace"])
        self.marks.update(state["marks"])
        self._seconds = sum(self.samples["seconds"])
        self.totals.update(state["totals"])
        self.flops.update(state["flops"])
        self._pending = list(state["pending"])
        self.paused_seconds += state["paused_seconds"]
        self.energy.joules.update(state["joules"])
        self.phases.restore(state["phases"])
