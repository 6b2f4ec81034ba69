"""The budget of a training: what every method may use up, and how much of it is used.

Responses and steps become a number of optimizer steps beforehand. Tokens, operations and seconds are only known while
training runs: the probe's own totals end it (`una_bench.training.schedule` has the learning rate).
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
"""Steps that a trainer is told where something else ends its training."""


class Spent(Exception):  # noqa: N818 - a state, not an error
    """Raised inside a training loop that can be left in no other way, when the budget is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One figure at which every method stops."""

    kind: str
    """``responses`` trained on (repetitions counted), ``steps`` of the optimizer, ``tokens`` trained on (prompt and
    response, padding not), ``flops`` of all passes of all models, or ``seconds`` of training (evaluations not)."""
    amount: float

    @property
    def planned(self) -> bool:
        """Whether the number of optimizer steps is known beforehand."""
        return self.kind in PLANNED

    def steps(self, batch_responses: int) -> int:
        """Optimizer steps that the budget allows, rounded up; `ENDLESS_STEPS` where only training can tell."""
        if not self.planned:
            return ENDLESS_STEPS
        return math.ceil(self.amount / (batch_responses if self.kind == "responses" else 1))

    def fraction(self, probe: Probe) -> float:
        """How much of it is used; the last step may go beyond 1."""
        return probe.used(self.kind) / self.amount

    def spent(self, probe: Probe) -> bool:
        """Whether a training that cannot be planned has to stop now."""
        return not self.planned and self.fraction(probe) >= 1

    def points(self, count: int) -> list[float]:
        """``count`` evenly spaced points, the last one the whole budget."""
        if self.planned:
            return [int(self.amount) * (i + 1) // count for i in range(count)]
        return [self.amount * (i + 1) / count for i in range(count)]
