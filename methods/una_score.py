"""UNA on scored responses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.interfaces.method import Feedback, Job, Method, NotNegative, Positive, Share

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.instruments.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaScore(Method):
    """UNA-score: the implicit score is regressed on the judged one."""

    label = "UNA-score"
    feedback = Feedback.SCORE
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 13"
    later = Method.later | {"reduction": "mean", "doubled_bos": False, "doubled_eos": False}

    beta: Positive = 0.5
    """Strength of the pull towards the reference policy, per nat."""
    space: str = "score"
    """``score`` (sigmoid(r) against the score, as published) or ``reward`` (r against the raw reward)."""
    loss_type: str = "mse"
    """``mse``, or ``bce`` with the score as soft label."""
    offset: str = "none"
    """f(x) + c: ``none`` (as published), ``ema``, ``prompt_mean``, ``learned`` or ``partition``."""
    offset_rate: Share = 0.05
    """``ema``: share of a batch's mean in the constant."""
    offset_lr_multiplier: NotNegative = 10.0
    """``learned``: learning rate of the scalar head in units of the policy's."""
    per_device_train_batch_size: int | None = None
    """Responses in one forward pass; None: all of an optimizer step."""
    reduction: str = "mean"
    """Loss of one forward pass: ``mean`` over its responses (as published), or ``sum`` (as in the released code)."""
    doubled_bos: bool = False
    """Put the tokenizer's first token before a prompt that begins with it already, as in the released code."""
    doubled_eos: bool = False
    """Put the tokenizer's end token after a response that has it already, as in the released code."""

    @property
    def display(self) -> str:
        """Label with loss, space and offset."""
        parts = [self.loss_type.upper()]
        parts += ["reward space"] if self.space == "reward" else []
        parts += [self.offset] if self.offset != "none" else []
        return f"{self.label} ({', '.join(parts)})"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared scores; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import records, train_offline

        def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
            columns = ["prompt_ids", "completion_ids", "score"]
            columns += ["log_partition"] if "log_partition" in table.columns else []
            return records(table.assign(score=table["reward"]) if self.space == "reward" else table, columns)

        return train_offline(self, job, probe, rows)
