"""DPO for pairs of which a known share is labeled the wrong way round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.search_space import Range
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class RobustDpo(Method):
    """TRL's DPOTrainer with ``loss_type=robust``: an unbiased estimate of DPO's loss under label noise."""

    label = "Robust DPO"
    feedback = Feedback.PAIRWISE
    resident = frozenset({Resident.REFERENCE})
    paper = "Chowdhury et al. 2024, arXiv:2403.00409, Eq. 12"
    trainer = "trl.trainer.dpo_trainer.DPOTrainer"
    preload = ("una_bench.training.trl.dpo",)
    one_process = ""
    search: ClassVar = {**Method.search, "label_smoothing": Range(0.02, 0.4)}

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    label_smoothing: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of pairs taken to be labeled the wrong way round."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.dpo import train_dpo

        return train_dpo(self, job, probe, loss_type="robust")
