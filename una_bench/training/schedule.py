"""Learning-rate schedule as a function of the budget used, for every kind of budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.budget import Budget

WARM = "budget_used_at_end_of_warmup"
"""Mark of the probe: used fraction of the budget when the learning rate first reached its peak."""


def multiplier(probe: Probe, budget: Budget, *, warmup_steps: int, min_lr_rate: float) -> Callable[[int], float]:
    """Return the factor on the peak rate by step: linear warm-up over steps, then a cosine over the rest of the budget.

    If every step uses the same share of the budget, it equals transformers' ``cosine_with_min_lr`` at every step.

    ``min_lr_rate`` is the floor as a fraction of the peak. The probe's marks hold the state for a resumed training.
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
    """Let a `transformers.Trainer` create its scheduler from the used budget; call before training."""
    from torch.optim.lr_scheduler import LambdaLR

    def create_scheduler(num_training_steps: int, optimizer: Any = None) -> Any:
        factor = multiplier(probe, budget, warmup_steps=trainer.args.warmup_steps, min_lr_rate=min_lr_rate)
        trainer.lr_scheduler = LambdaLR(trainer.optimizer if optimizer is None else optimizer, factor)
        trainer._created_lr_scheduler = True
        return trainer.lr_scheduler

    trainer.create_scheduler = create_scheduler
