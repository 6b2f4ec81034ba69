"""UNA online: responses of the policy, scored as they come."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from una_bench.interfaces.budget import Budget
from una_bench.interfaces.method import Feedback, Job, Resident
from una_bench.interfaces.settings import Count
from una_bench.training.una_settings import UnaScoreRegression

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class UnaOnline(UnaScoreRegression):
    """UNA with generated responses and a reward; no value model."""

    label = "UNA-online"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 9 and section 2.3.4"
    preload = ("una_bench.training.una", "una_bench.una.online")

    normalization: Literal["sigmoid", "quantile", "identity"] | None = None
    """``sigmoid``, ``quantile`` or ``identity``; None: ``sigmoid`` in score space, ``identity`` in reward space."""
    anchor: Literal["reference", "rollout"] = "reference"
    """``reference`` (as published) or ``rollout`` (as in the released code)."""
    num_generations: Count = 4
    """Responses per prompt."""
    responses_per_rollout: Count = 256
    """Responses generated at a time."""
    num_iterations: Count = 4
    """Times that the responses of one rollout are trained on."""
    missing_eos_penalty: float | None = None
    """Taken off the raw reward of a response that does not end."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.responses_per_rollout % self.num_generations:
            raise ValueError(
                f"responses_per_rollout={self.responses_per_rollout} is no multiple of num_generations="
                f"{self.num_generations}: choose one that is"
            )
        if self.offset == "prompt_mean" and self.num_generations < 2:
            raise ValueError("offset=prompt_mean needs num_generations of at least 2")
        return self

    def within(self, budget: Budget, batch_responses: int) -> Self:
        """Shorten the rollout where the budget would leave a part of its responses untrained."""
        if not budget.planned:
            return self
        trained = budget.steps(batch_responses) * batch_responses
        unit = math.lcm(batch_responses, self.num_generations)
        rollout = max(1, trained // self.num_iterations // unit) * unit
        shorter = self.model_copy(update={"responses_per_rollout": rollout})
        return self if rollout >= self.responses_per_rollout else shorter

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.una import train_online

        return train_online(self, job, probe)
