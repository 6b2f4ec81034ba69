"""Where an error came from: noted on the error itself, on its way out of a training.

Time and peak memory by phase of a training, nothing counted twice.
"""

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
    """Remember ``facts`` with ``error``; what was noted first, further inside, stays."""
    vars(error).setdefault(_NOTES, {}).update({**facts, **vars(error).get(_NOTES, {})})


def notes(error: BaseException | None) -> dict[str, Any]:
    """Return what was noted with ``error``, or with what it was raised from."""
    found: dict[str, Any] = {}
    while error is not None:
        found = {**found, **vars(error).get(_NOTES, {})}
        error = error.__cause__ or error.__context__
    return found


OTHER = "other"
"""What runs in no phase: the trainer's own work between them."""
EVALUATE, CALIBRATE, BOOKKEEPING, YARDSTICK = "evaluate", "calibrate", "bookkeeping", "yardstick"
NOT_TRAINING = frozenset({EVALUATE, CALIBRATE, BOOKKEEPING, YARDSTICK})
"""Phases of the harness itself: their peaks are kept apart from the overall peak."""
SMALL = frozenset({YARDSTICK})
"""Those between any two steps that free next to nothing: handing memory back would slow the next step down."""


@dataclass(slots=True)
class PhasePeak:
    """What one phase took, over all times that it ran."""

    bytes: int = 0
    """Highest peak above the baseline."""
    reserved_bytes: int | None = None
    """Highest reservation of the allocator, on accelerators."""
    seconds: float = 0.0
    """Wall time, without that of phases inside."""
    times: int = 0


class Phases:
    """Credits all time and every peak to the innermost open phase."""

    def __init__(self, meter: PeakMeter, clock: Callable[[], float]) -> None:
        self.meter, self.clock = meter, clock
        self.peaks: dict[str, PhasePeak] = defaultdict(PhasePeak)
        self.instrument_seconds = 0.0
        """Spent on reading and resetting peaks; inside the steps, because the trainer waits for it."""
        self._open: list[str] = []
        self._of_harness = 0
        """Open phases of the harness."""
        meter.reset()
        self._start = clock()

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Return a phase to open; of two nested ones the inner has its own peak and time."""
        return _Phase(self, name)

    def open(self, name: str) -> None:
        """Begin a phase inside the one that is open."""
        self.close_span()
        self._open.append(name)
        self._of_harness += name in NOT_TRAINING

    def close(self) -> None:
        """End the innermost open phase."""
        name = self._open[-1]
        if name in NOT_TRAINING and name not in SMALL:
            # What the harness freed must not count as held by the training that goes on.
            self.meter.trim()
        self.close_span()
        self._open.pop()
        self._of_harness -= name in NOT_TRAINING
        self.peaks[name].times += 1

    @property
    def training(self) -> bool:
        """Whether what runs now is training, and not the harness."""
        return not self._of_harness

    @property
    def peak_bytes(self) -> int:
        """Peak of the training above the baseline, so far."""
        self.close_span()
        return max(peak.bytes for name, peak in self.peaks.items() if name not in NOT_TRAINING)

    def close_span(self) -> None:
        """Credit everything since the last boundary to the innermost open phase, and begin anew."""
        end = self.clock()
        peak = self.meter.peak()
        of = self.peaks[self._open[-1] if self._open else OTHER]
        of.seconds += end - self._start
        if peak.bytes > of.bytes:
            of.bytes = peak.bytes
        if peak.reserved_bytes is not None:
            of.reserved_bytes = max(of.reserved_bytes or 0, peak.reserved_bytes)
        self.meter.reset()
        self._start = self.clock()
        self.instrument_seconds += self._start - end

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what each phase took so far, as JSON."""
        return {name: asdict(peak) for name, peak in self.peaks.items()}

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Add what each phase took in the process before."""
        for name, before in state.items():
            of = self.peaks[name]
            of.seconds += before["seconds"]
            of.times += before["times"]
            of.bytes = max(of.bytes, before["bytes"])
            if before["reserved_bytes"] is not None:
                of.reserved_bytes = max(of.reserved_bytes or 0, before["reserved_bytes"])


class _Phase:
    """Opens and closes one phase; a class, because a generator would take twice as long, several times a step."""

    __slots__ = ("name", "phases")

    def __init__(self, phases: Phases, name: str) -> None:
        self.phases, self.name = phases, name

    def __enter__(self) -> None:
        self.phases.open(self.name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            note(error, phase=self.name)
        self.phases.close()
