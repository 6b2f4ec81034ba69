"""UNA online: responses of the policy, scored as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Count, Feedback, Job, Method, NotNegative, Positive, Resident, Share

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaOnline(Method):
    """UNA with generated responses and a reward; no value model."""

    label = "UNA-online"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 9 and section 2.3.4"
    later = Method.later | {"reduction": "mean", "missing_eos_penalty": None}

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
    normalization: str | None = None
    """``sigmoid``, ``quantile`` or ``identity``; None: ``sigmoid`` in score space, ``identity`` in reward space."""
    anchor: str = "reference"
    """``reference`` (as published) or ``rollout`` (as in the released code)."""
    num_generations: Count = 4
    """Responses per prompt."""
    responses_per_rollout: Count = 256
    """Responses generated at a time."""
    num_iterations: Count = 4
    """Times that the responses of one rollout are trained on."""
    per_device_train_batch_size: int | None = None
    """Responses in one forward pass; None: all of an optimizer step."""
    reduction: str = "mean"
    """Loss of one forward pass: ``mean`` over its responses (as published), or ``sum`` (as in the released code)."""
    missing_eos_penalty: float | None = None
    """Taken off the raw reward of a response that does not end."""

    @property
    def display(self) -> str:
        """Label with loss, space, offset and anchor."""
        parts = [self.loss_type.upper()]
        parts += ["reward space"] if self.space == "reward" else []
        parts += [self.offset] if self.offset != "none" else []
        parts += ["rollout anchor"] if self.anchor == "rollout" else []
        return f"{self.label} ({', '.join(parts)})"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.una import train_online

        return train_online(self, job, probe)
