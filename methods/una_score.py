"""UNA on scored responses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.method import Feedback, Job
from una_bench.training.una_settings import UnaScoreRegression

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe


class UnaScore(UnaScoreRegression):
    """UNA-score: the implicit score is regressed on the judged one."""

    label = "UNA-score"
    feedback = Feedback.SCORE
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 13"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared scores; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import records, train_offline

        def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
            columns = ["prompt_ids", "completion_ids", "score"]
            columns += ["log_partition"] if "log_partition" in table.columns else []
            return records(table.assign(score=table["reward"]) if self.space == "reward" else table, columns)

        return train_offline(self, job, probe, rows)
