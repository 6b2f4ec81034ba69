"""UNA on pairs of responses, which is DPO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.method import Feedback, Job
from una_bench.training.una_settings import UnaMethod

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe


class UnaPairwise(UnaMethod):
    """UNA-pairwise: f(x) and c of the implicit reward cancel in a pair, which leaves DPO's loss."""

    label = "UNA-pairwise"
    feedback = Feedback.PAIRWISE
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 10"
    preload = ("una_bench.training.una", "una_bench.una.trainer")

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared pairs; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import train_offline

        def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
            chosen, rejected = (table[table["chosen"] == which].sort_values("pair") for which in (True, False))
            columns = chosen["prompt_ids"], chosen["completion_ids"], rejected["completion_ids"]
            names = ("prompt_ids", "chosen_ids", "rejected_ids")
            return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

        return train_offline(self, job, probe, rows, responses_per_row=2)
