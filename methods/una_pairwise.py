"""UNA on pairs of responses, which is DPO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job
from una_bench.training.una_settings import UnaMethod

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class UnaPairwise(UnaMethod):
    """UNA-pairwise: f(x) and c of the implicit reward cancel in a pair, which leaves DPO's loss."""

    label = "UNA-pairwise"
    feedback = Feedback.PAIRWISE
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 10"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared pairs; reference log-probabilities are computed once, beforehand."""
        from una_bench.interfaces.prepared import pairs
        from una_bench.training.una import records, train_offline

        return train_offline(self, job, probe, lambda table: records(pairs(table)), responses_per_row=2)
