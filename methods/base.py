"""The untrained policy: the row that every trained one is read against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Base(Method):
    """No training at all."""

    label = "Base (untrained)"
    feedback = Feedback.NONE
    paper = "no training"

    def train(self, job: Job, probe: Probe) -> Path:
        """Return the initial policy itself."""
        return job.prepared / "policy"
