"""The instruments: memory by phase, and the time and tokens of every training step.

They know of no method. A method opens phases and steps on its `Probe`; what is inside a reading is said beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from una_bench.record import Curve, StepSamples

COUNTS = ("responses", "prompt_tokens", "response_tokens", "padding_tokens", "optimizer_steps")
Watcher = Callable[[Any], Mapping[str, float]]
"""A policy in the middle of training -> cheap metrics."""


def resident_bytes(key: str) -> int:
    """Read one figure of this process, ``VmRSS`` (now) or ``VmHWM`` (peak since the last reset), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def reset_peak() -> None:
    """Lower the kernel's high-water mark of this process to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


@dataclass
class _Peak:
    bytes: int = 0
    seconds: float = 0.0
    times: int = 0


@dataclass
class Probe:
    """What one training run measures of itself.

    Memory on CPU is the kernel's high-water mark of this process minus what was resident when the probe was made
    (after imports, before any model). It is reset at the start of each phase, so a short peak is not missed.
    """

    device: str = "cpu"
    clock: Callable[[], float] = time.perf_counter
    cpu_clock: Callable[[], float] = time.process_time
    warmup: int = 3
    """Leading steps that rates leave out."""
    evaluate_at: Sequence[int] = ()
    """Numbers of responses trained on at which the watchers are called."""
    watchers: Sequence[Watcher] = ()
    memory_every: int = 16
    """Phases inside a step read memory in the warm-up steps and in every so-manieth after (a reading costs 0.1 ms);
    the overall peak misses nothing, whatever this is."""
    on_step: Callable[[Probe], None] | None = None
    """Told after every step, for progress."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the fairness ledger wants to know; methods add to it."""

    def __post_init__(self) -> None:
        """Take the baseline."""
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.peaks: dict[str, _Peak] = defaultdict(_Peak)
        self.curves: dict[str, tuple[list[float], list[float]]] = {}
        self.resident: dict[str, int] = {}
        """Bytes that had to be there, by what they are; arithmetic, not measurement. The one who trains fills it."""
        self.totals = dict.fromkeys(COUNTS, 0)
        self.paused_seconds = 0.0
        self._open: dict[str, int] | None = None
        self._overall = 0
        self._phases: list[str] = []
        self._inner_seconds = [0.0]
        self._stale = False
        self._pending = sorted(self.evaluate_at)
        self._seen = 0
        self.baseline_bytes = resident_bytes("VmRSS") if self.device == "cpu" else 0
        self._start_peak()

    # memory ------------------------------------------------------------------------------------------------------

    def _start_peak(self) -> None:
        if self.device == "cpu":
            reset_peak()
        else:
            import torch

            torch.cuda.reset_peak_memory_stats()

    def _read_peak(self) -> int:
        if self.device == "cpu":
            return max(0, resident_bytes("VmHWM") - self.baseline_bytes)
        import torch

        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Attribute memory and time to ``name``; what an inner phase takes is its own, not the outer's."""
        self._close_span()
        self._phases.append(name)
        self._inner_seconds.append(0.0)
        start = self.clock()
        try:
            yield
        finally:
            self._close_span()
            self._phases.pop()
            seconds = self.clock() - start
            self.peaks[name].seconds += seconds - self._inner_seconds.pop()
            self._inner_seconds[-1] += seconds
            self.peaks[name].times += 1

    def _close_span(self) -> None:
        steps = len(self.samples["seconds"])
        skips = self._open is not None and steps >= self.warmup and steps % self.memory_every
        if skips and self.device == "cpu":  # elsewhere the wait for the device is what makes the times true
            self._stale = True
            return
        peak = self._read_peak()
        self._overall = max(self._overall, peak)
        if not self._stale:  # else the mark is that of several phases since it was last lowered
            name = self._phases[-1] if self._phases else "other"
            self.peaks[name].bytes = max(self.peaks[name].bytes, peak)
        self._stale = False
        self._start_peak()

    @property
    def peak_bytes(self) -> int:
        """Peak above the baseline since the probe was made."""
        self._overall = max(self._overall, self._read_peak())
        return self._overall

    # steps -------------------------------------------------------------------------------------------------------

    def begin_step(self) -> None:
        """Open a step: everything until `end_step` is training time."""
        self._open = dict.fromkeys(COUNTS, 0)
        self._paused_in_step = 0.0
        self._wait()
        self._cpu_start = self.cpu_clock()
        self._start = self.clock()

    def count(self, **counts: int) -> None:
        """Add responses, tokens or optimiser steps to the open step; outside a step they only enter the totals."""
        for name, number in counts.items():
            self.totals[name] += number
            if self._open is not None:
                self._open[name] += number

    def end_step(self) -> None:
        """Close the step and keep its sample."""
        if self._open is None:
            raise RuntimeError("end_step without begin_step")
        self._wait()
        self.samples["seconds"].append(self.clock() - self._start - self._paused_in_step)
        self.samples["cpu_seconds"].append(self.cpu_clock() - self._cpu_start)
        for name in COUNTS:
            self.samples[name].append(self._open[name])
        self._open = None
        if self.on_step is not None:
            self.on_step(self)

    def _wait(self) -> None:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()

    # what training looks like ------------------------------------------------------------------------------------

    def observe(self, metrics: Mapping[str, float], *, x: float | None = None) -> None:
        """Add one point to the curve of each metric, at ``x`` responses (default: those trained on so far)."""
        at = float(self.totals["responses"] if x is None else x)
        for name, value in metrics.items():
            xs, ys = self.curves.setdefault(name, ([], []))
            xs.append(at)
            ys.append(float(value))

    def check(self, policy: Any) -> None:
        """Call the watchers where training has reached the next point of ``evaluate_at``; not training time."""
        if not self._pending or self.totals["responses"] < self._pending[0]:
            return
        while self._pending and self.totals["responses"] >= self._pending[0]:
            self._pending.pop(0)
        start = self.clock()
        with self.phase("evaluate"):
            for watcher in self.watchers:
                self.observe(watcher(policy))
        self.paused_seconds += self.clock() - start
        if self._open is not None:
            self._paused_in_step += self.clock() - start

    def step_samples(self) -> StepSamples:
        """Return the raw samples for the record."""
        counts = {name: tuple(int(v) for v in self.samples[name]) for name in COUNTS}
        return StepSamples(
            seconds=tuple(self.samples["seconds"]),
            cpu_seconds=tuple(self.samples["cpu_seconds"]),
            warmup=min(self.warmup, max(0, len(self.samples["seconds"]) - 1)),
            **counts,
        )

    def record_curves(self) -> tuple[Curve, ...]:
        """Return the curves for the record."""
        return tuple(Curve(metric=m, unit="1", x=tuple(xs), y=tuple(ys)) for m, (xs, ys) in self.curves.items())
