"""UNA on responses labeled desirable or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method, NotNegative, Positive, Share

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaBinary(Method):
    """UNA-binary with squared error or cross-entropy."""

    label = "UNA-binary"
    feedback = Feedback.BINARY
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 11 (mse) and 12 (bce)"
    later = Method.later | {"reduction": "mean", "doubled_bos": False, "doubled_eos": False}

    beta: Positive = 0.5
    """Strength of the pull towards the reference policy, per nat."""
    loss_type: str = "mse"
    """``mse`` or ``bce``."""
    offset: str = "none"
    """f(x) + c: ``none`` (as published), ``ema`` or ``learned``."""
    offset_residual_rate: Share = 0.2
    """``ema``: step of the constant along the mean of label - sigmoid(r)."""
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
        """Label with loss and offset."""
        return f"{self.label} ({self.loss_type.upper()}{'' if self.offset == 'none' else f', {self.offset}'})"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on the prepared labels; reference log-probabilities are computed once, beforehand."""
        from una_bench.training.una import records, train_offline

        return train_offline(self, job, probe, lambda table: records(table, ["prompt_ids", "completion_ids", "label"]))
