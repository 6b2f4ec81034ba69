"""Time accounting of a run: training and evaluation, one-time costs (preparation, imports), and the harness."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from una_bench.instruments.phases import BOOKKEEPING
from una_bench.orchestration.executor import Outcome


class Accounting:
    """Time accounting of one call of ``una-bench run``; the harness is everything that is not accounted for otherwise.

    The time of a worker that neither trains nor evaluates (starting, hashing, calibrating, writing) counts as harness,
    divided by the number of workers, because the others continue. Time with no worker running counts in full; an idle
    slot when no cell is left counts as nothing.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock
        self.began = clock()
        self.once_seconds = 0.0
        """Preparation of the suite and imports shared by workers."""
        self.overhead_seconds = 0.0
        """Time of worker processes outside training and evaluation."""
        self.work_seconds = 0.0
        """Time of training and evaluation, summed over workers."""
        self._spans: list[tuple[float, float]] = []

    def trained(self, outcome: Outcome, result: Mapping[str, Any] | None) -> None:
        """Add a training process and its result; without a result all its time counts as training."""
        work = outcome.seconds
        if result is not None:
            work = result["seconds"] - result["phase_seconds"].get(BOOKKEEPING, 0.0)
        self.evaluated(outcome, work)

    def evaluated(self, outcome: Outcome, seconds: float) -> None:
        """Add a process that spent ``seconds`` on work."""
        now = self.clock()
        self._spans.append((now - outcome.seconds, now))
        self.work_seconds += seconds
        self.overhead_seconds += max(0.0, outcome.seconds - seconds)

    def stop(self) -> None:
        """End the wall time here: what follows belongs to another draw of the problem."""
        ended = self.clock()
        self.clock = lambda: ended

    def summary(self) -> dict[str, float]:
        """Return seconds by purpose, and the harness's share of the wall time."""
        wall = self.clock() - self.began
        busy, end = 0.0, float("-inf")  # time with at least one worker running
        for start, stop in sorted(self._spans):
            busy += max(0.0, stop - max(start, end))
            end = max(end, stop)
        harness = max(0.0, wall - self.once_seconds - busy) + self.overhead_seconds / self.workers
        return {
            "wall_seconds": wall,
            "once_seconds": self.once_seconds,
            "work_seconds": self.work_seconds,
            "harness_seconds": harness,
            "harness_share": harness / wall if wall > 0 else 0.0,
        }
