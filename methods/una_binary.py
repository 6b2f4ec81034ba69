"""UNA on responses labeled desirable or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from una_bench.interfaces.method import Feedback, Job
from una_bench.training.una_settings import Rate, UnaRegression

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class UnaBinary(UnaRegression):
    """UNA-binary with squared error or cross-entropy."""

    label = "UNA-binary"
    feedback = Feedback.BINARY
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 11 (mse) and 12 (bce)"

    offset: Literal["none", "ema", "learned"] = "none"
    """f(x) + c; ``none`` is as published."""
    offset_residual_rate: Rate = 0.2
    """``ema``: step of the constant along the mean of label - sigmoid(r)."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared labels; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import records, train_offline

        return train_offline(self, job, probe, lambda table: records(table, ["prompt_ids", "completion_ids", "label"]))
