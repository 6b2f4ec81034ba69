"""Settings of methods that train on rollouts of several responses a prompt."""

from __future__ import annotations

import math
from typing import Self

from pydantic import model_validator

from una_bench.interfaces.budget import Budget
from una_bench.interfaces.method import Method
from una_bench.interfaces.settings import Count


class Rollouts(Method):
    """Rollouts in groups of responses to the same prompt, each trained on once or several times."""

    num_generations: Count = 4
    """Responses per prompt."""
    responses_per_rollout: Count = 256
    """Responses generated at a time."""
    num_iterations: Count = 4
    """Times that the responses of one rollout are trained on."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.responses_per_rollout % self.num_generations:
            raise ValueError(
                f"responses_per_rollout={self.responses_per_rollout} is no multiple of num_generations="
                f"{self.num_generations}: choose one that is"
            )
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
