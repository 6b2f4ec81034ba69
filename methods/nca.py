"""Noise contrastive alignment on pairs, on DPO's trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Nca(Method):
    """TRL's DPOTrainer with ``loss_type=nca_pair``, which raises the likelihood of the chosen response."""

    label = "NCA"
    feedback = Feedback.PAIRWISE
    resident = frozenset({Resident.REFERENCE})
    paper = "Chen et al. 2024, arXiv:2402.05369, section 3.2"
    trainer = "trl.trainer.dpo_trainer.DPOTrainer"
    preload = ("una_bench.training.trl.dpo",)
    one_process = ""

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.dpo import train_dpo

        return train_dpo(self, job, probe, loss_type="nca_pair")
