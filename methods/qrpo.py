"""Quantile reward policy optimization on given responses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.method import Feedback, Job
from una_bench.training.una_settings import UnaMethod

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe


class Qrpo(UnaMethod):
    """QRPO: the implicit reward is regressed on the quantile of a response's score, whose partition function is exact.

    The quantile is the rank among all prepared responses to the same prompt, which stand for samples of the reference
    policy; a prompt needs at least two. The optimum is that of the quantile reward, not of the raw one.
    """

    label = "QRPO"
    feedback = Feedback.SCORE
    regresses = True
    paper = "Matrenok et al. 2025, arXiv:2507.08068, section 3"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the quantiles of the prepared scores; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import records, train_offline
        from una_bench.una.losses import log_partition_of_quantiles

        def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
            by_prompt = table.groupby("prompt")["score"]
            count = by_prompt.transform("size")
            if (count < 2).any():
                alone = table["prompt"][count < 2].iloc[0]
                raise UserError(
                    f"QRPO ranks the responses to a prompt, and {int((count < 2).sum())} prompts have one, as "
                    f"{alone[:60]!r}. Give several scored responses to each, or leave qrpo out."
                )
            quantile = (by_prompt.rank() - 0.5) / count
            log_z = log_partition_of_quantiles(self.beta)
            made = table.assign(score=quantile, log_partition=log_z)
            return records(made, ["prompt_ids", "completion_ids", "score", "log_partition"])

        return train_offline(self, job, probe, rows, space="reward", offset="partition")
