"""Anchored preference optimization, on DPO's trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Apo(Method):
    """TRL's DPOTrainer with the losses of APO, which fix the direction of each side and not only their difference."""

    label = "APO"
    feedback = Feedback.PAIRWISE
    resident = frozenset({Resident.REFERENCE})
    paper = "D'Oosterlinck et al. 2024, arXiv:2408.06266, Eq. 7 and 8"
    trainer = "trl.trainer.dpo_trainer.DPOTrainer"
    preload = ("una_bench.training.trl.dpo",)
    one_process = ""

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    loss_type: Literal["apo_zero", "apo_down"] = "apo_zero"
    """``apo_zero`` (chosen up, rejected down) or ``apo_down`` (both down: where the policy is better than the data)."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.dpo import train_dpo

        return train_dpo(self, job, probe, loss_type=self.loss_type)
