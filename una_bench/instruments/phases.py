"""Time and peak memory by phase of a training, each counted once, and notes on errors about their phase."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from una_bench.instruments.peak_memory import PeakMeter

_NOTES = "_una_bench_notes"


def note(error: BaseException, **facts: Any) -> None:
    """Attach ``facts`` to ``error``; earlier notes, from further inside, take precedence."""
    vars(error).setdefault(_NOTES, {}).update({**facts, **vars(error).get(_NOTES, {})})


def notes(error: BaseException | None) -> dict[str, Any]:
    """Return the notes on ``error`` and on its causes."""
    facts: dict[str, Any] = {}
    while error is not None:
        facts |= vars(error).get(_NOTES, {})
        error = error.__cause__ or error.__context__
    return facts


OTHER = "other"
"""Work outside all phases, by the trainer itself."""
EVALUATE, CALIBRATE, BOOKKEEPING, YARDSTICK = "evaluate", "calibrate", "bookkeeping", "yardstick"
NOT_TRAINING = frozenset({EVALUATE, CALIBRATE, BOOKKEEPING, YARDSTICK})
"""Phases of the benchmark harness; not part of the overall peak."""
SMALL = frozenset({YARDSTICK})
"""Harness phases that free almost nothing; releasing memory after them would slow the next step."""


@dataclass(slots=True)
class PhasePeak:
    """Time and memory of one phase, over all its runs."""

    bytes: int = 0
    """Highest peak above the baseline."""
    reserved_bytes: int | None = None
    """Highest memory reserved by the allocator, on accelerators."""
    seconds: float = 0.0
    """Wall time, inner phases excluded."""
    times: int = 0


class Phases:
    """Attributes all time and every peak to the innermost open phase."""

    def __init__(self, meter: PeakMeter, clock: Callable[[], float]) -> None:
        self.meter, self.clock = meter, clock
        self.peaks: dict[str, PhasePeak] = defaultdict(PhasePeak)
        self.instrument_seconds = 0.0
        """Spent on reading and resetting peaks; part of the steps, because the trainer waits for it."""
        self._open: list[str] = []
        self._open_harness_phases = 0
        meter.reset()
        self._start = clock()

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Return a phase as a context manager; a nested phase has its own peak and time."""
        return _Phase(self, name)

    def open(self, name: str) -> None:
        """Begin a phase inside the one that is open."""
        self.close_span()
        self._open.append(name)
        self._open_harness_phases += name in NOT_TRAINING

    def close(self) -> None:
        """End the innermost open phase."""
        name = self._open[-1]
        if name in NOT_TRAINING and name not in SMALL:
            # Memory that the harness freed must not count as the training's.
            self.meter.trim()
        self.close_span()
        self._open.pop()
        self._open_harness_phases -= name in NOT_TRAINING
        self.peaks[name].times += 1

    @property
    def training(self) -> bool:
        """Whether no harness phase is open."""
        return not self._open_harness_phases

    @property
    def peak_bytes(self) -> int:
        """Peak of the training above the baseline, so far."""
        self.close_span()
        return max(peak.bytes for name, peak in self.peaks.items() if name not in NOT_TRAINING)

    def close_span(self) -> None:
        """Attribute time and peak since the last boundary to the innermost open phase, and reset both."""
        end = self.clock()
        peak = self.meter.peak()
        phase = self.peaks[self._open[-1] if self._open else OTHER]
        phase.seconds += end - self._start
        if peak.bytes > phase.bytes:
            phase.bytes = peak.bytes
        if peak.reserved_bytes is not None:
            phase.reserved_bytes = max(phase.reserved_bytes or 0, peak.reserved_bytes)
        self.meter.reset()
        self._start = self.clock()
        self.instrument_seconds += self._start - end

    def state(self) -> dict[str, dict[str, Any]]:
        """Return time and memory of each phase so far, as JSON."""
        return {name: asdict(peak) for name, peak in self.peaks.items()}

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Add time and memory of each phase in the interrupted process."""
        for name, before in state.items():
            phase = self.peaks[name]
            phase.seconds += before["seconds"]
            phase.times += before["times"]
            phase.bytes = max(phase.bytes, before["bytes"])
            if before["reserved_bytes"] is not None:
                phase.reserved_bytes = max(phase.reserved_bytes or 0, before["reserved_bytes"])


class _Phase:
    """Context manager of one phase; a class, because a generator takes twice as long, several times per step."""

    __slots__ = ("name", "phases")

    def __init__(self, phases: Phases, name: str) -> None:
        self.phases, self.name = phases, name

    def __enter__(self) -> None:
        self.phases.open(self.name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            note(error, phase=self.name)
        self.phases.close()
