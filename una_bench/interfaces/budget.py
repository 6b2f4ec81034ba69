"""The training budget, the same for every method, and its use.

Budgets of responses and steps fix the number of optimizer steps beforehand. Tokens, operations and seconds are counted
by the probe during training, which then ends it (`una_bench.training.schedule` has the learning rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

PLANNED = frozenset({"responses", "steps"})
"""Kinds that fix the number of optimizer steps beforehand."""
ENDLESS_STEPS = 10**9
"""``max_steps`` of a trainer whose training is ended otherwise."""


class Spent(Exception):  # noqa: N818 - a state, not an error
    """Raised when the budget is used up, to leave a training loop that has no other exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Amount of one resource at which every method stops."""

    kind: str
    """``responses`` trained on (with repetitions), optimizer ``steps``, ``tokens`` trained on (prompt and response,
    without padding), ``flops`` of all passes of all models, or ``seconds`` of training (without evaluations)."""
    amount: float

    @property
    def planned(self) -> bool:
        """Whether the number of optimizer steps is known beforehand."""
        return self.kind in PLANNED

    def steps(self, batch_responses: int) -> int:
        """Return the optimizer steps of the budget, rounded up; `ENDLESS_STEPS` if it is not planned."""
        if not self.planned:
            return ENDLESS_STEPS
        return math.ceil(self.amount / (batch_responses if self.kind == "responses" else 1))

    def fraction(self, probe: Probe) -> float:
        """Return the used share of the budget; the last step may exceed 1."""
        return probe.used(self.kind) / self.amount

    def spent(self, probe: Probe) -> bool:
        """Return whether an unplanned training has to stop now."""
        return not self.planned and self.fraction(probe) >= 1

    def points(self, count: int) -> list[float]:
        """Return ``count`` evenly spaced points, the last one being the whole budget."""
        if self.planned:
            return [int(self.amount) * (i + 1) // count for i in range(count)]
        return [self.amount * (i + 1) / count for i in range(count)]
