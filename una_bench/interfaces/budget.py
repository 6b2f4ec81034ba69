"""What every method may use up, how much of it is used, and the learning-rate schedule that follows from that.

Responses and steps become a number of optimizer steps beforehand. Tokens, operations and seconds are only known while
training runs: the probe's own totals end it, and the schedule follows the fraction used instead of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

KINDS = ("responses", "steps", "tokens", "flops", "seconds")
UNITS = {"responses": "response", "steps": "step", "tokens": "token", "flops": "FLOP", "seconds": "s"}
PLANNED = frozenset({"responses", "steps"})
"""Kinds that fix the number of optimizer steps beforehand."""
ENDLESS_STEPS = 10**9
"""Steps that a trainer is told where something else ends its training."""
WARM = "budget_used_at_end_of_warmup"
"""Mark of the probe: fraction used when the learning rate first stood at its peak."""


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


def multiplier(probe: Probe, budget: Budget, *, warmup_steps: int, min_lr_rate: float) -> Callable[[int], float]:
    """Return what scales the peak learning rate: linear warm-up over steps, then a cosine over the rest of the budget.

    Where every step uses the same share of the budget it is transformers' ``cosine_with_min_lr``, step for step.

    Args:
        probe: Tells how much is used; keeps in its marks what a resumed training must know.
        budget: What training may use up.
        warmup_steps: Steps of the scheduler until the peak.
        min_lr_rate: Floor as a fraction of the peak.
    """

    def at(step: int) -> float:
        if step < warmup_steps:
            return step / warmup_steps
        used = min(1.0, budget.fraction(probe))
        warm = probe.marks.setdefault(WARM, used)
        progress = (used - warm) / (1 - warm) if warm < 1 else 1.0
        return 0.5 * (1 + math.cos(math.pi * progress)) * (1 - min_lr_rate) + min_lr_rate

    return at


def follow(trainer: Any, probe: Probe, budget: Budget, min_lr_rate: float) -> None:
    """Let a `transformers.Trainer` make its scheduler from the budget used; call it before it trains."""
    from torch.optim.lr_scheduler import LambdaLR

    def create_scheduler(num_training_steps: int, optimizer: Any = None) -> Any:
        factor = multiplier(probe, budget, warmup_steps=trainer.args.warmup_steps, min_lr_rate=min_lr_rate)
        trainer.lr_scheduler = LambdaLR(trainer.optimizer if optimizer is None else optimizer, factor)
        trainer._created_lr_scheduler = True
        return trainer.lr_scheduler

    trainer.create_scheduler = create_scheduler
