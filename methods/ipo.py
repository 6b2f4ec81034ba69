"""Identity preference optimization, DPO's trainer with a squared loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Ipo(Method):
    """TRL's DPOTrainer with ``loss_type=ipo``: (l - 1 / (2 beta))^2 of the difference of mean log-ratios per token."""

    label = "IPO"
    feedback = Feedback.PAIRWISE
    resident = frozenset({Resident.REFERENCE})
    paper = "Azar et al. 2023, arXiv:2310.12036, Eq. 17"
    trainer = "trl.trainer.dpo_trainer.DPOTrainer"
    preload = ("una_bench.training.trl.dpo",)
    one_process = ""

    beta: Positive = 0.1
    """Regularization tau of the paper: the margin is 1 / (2 beta), in nats per token."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.dpo import train_dpo

        return train_dpo(self, job, probe, loss_type="ipo")
