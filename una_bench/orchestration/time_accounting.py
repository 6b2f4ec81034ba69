"""Where the time of a run went: training and evaluation, what is paid once (preparation, imports), and the harness."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from una_bench.instruments.phases import BOOKKEEPING
from una_bench.orchestration.process_pool import Outcome


class Accounting:
    """Adds up one call of ``una-bench run``; what it cannot attribute to anything else is the harness.

    A worker process is the harness's while it neither trains nor evaluates: starting, hashing, calibrating, writing.
    That is divided by the number of workers, because the others go on meanwhile. Time with no worker running counts in
    full. A slot that is empty because no cell is left counts as nothing.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock
        self.began = clock()
        self.once_seconds = 0.0
        """Preparing the suite, and importing what workers share."""
        self.overhead_seconds = 0.0
        """Of worker processes, outside training and evaluation."""
        self.work_seconds = 0.0
        """Of training and evaluation, all workers together."""
        self._spans: list[tuple[float, float]] = []

    def trained(self, outcome: Outcome, left: Mapping[str, Any] | None) -> None:
        """Note a training process and what it left; one that left nothing trained all the time that it ran."""
        inside = outcome.seconds
        if left is not None:
            inside = left["seconds"] - left["phase_seconds"].get(BOOKKEEPING, 0.0)
        self._add(outcome, inside)

    def evaluated(self, outcome: Outcome, seconds: float) -> None:
        """Note an evaluation process that spent ``seconds`` on loading tasks and evaluating."""
        self._add(outcome, seconds)

    def _add(self, outcome: Outcome, inside: float) -> None:
        now = self.clock()
        self._spans.append((now - outcome.seconds, now))
        self.work_seconds += inside
        self.overhead_seconds += max(0.0, outcome.seconds - inside)

    def _busy(self) -> float:
        """Time with at least one worker running."""
        total, end = 0.0, float("-inf")
        for start, stop in sorted(self._spans):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return total

    def summary(self) -> dict[str, float]:
        """Return seconds by what they were for, and the share of the harness in the wall time."""
        wall = self.clock() - self.began
        harness = max(0.0, wall - self.once_seconds - self._busy()) + self.overhead_seconds / self.workers
        return {
            "wall_seconds": wall,
            "once_seconds": self.once_seconds,
            "work_seconds": self.work_seconds,
            "harness_seconds": harness,
            "harness_share": harness / wall if wall > 0 else 0.0,
        }
