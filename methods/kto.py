"""Kahneman-Tversky optimization as TRL has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import NotNegative, Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Kto(Method):
    """TRL's KTOTrainer on single responses with a label, with the tokens as prepared.

    The reference point is estimated from mismatched prompts and responses, which is a further forward pass of policy
    and reference in every step; with ``precompute_ref_log_probs`` of the policy alone.
    """

    label = "KTO"
    feedback = Feedback.BINARY
    resident = frozenset({Resident.REFERENCE})
    paper = "Ethayarajh et al. 2024, arXiv:2402.01306, Eq. 7 and 8"
    trainer = "trl.trainer.kto_trainer.KTOTrainer"
    preload = ("una_bench.training.trl.kto",)
    one_process = ""

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """``kto``, or ``apo_zero_unpaired`` (arXiv:2408.06266), whose reference point is 0: no mismatched responses."""
    desirable_weight: NotNegative = 1.0
    """Weight of desirable responses."""
    undesirable_weight: NotNegative = 1.0
    """Weight of undesirable responses."""
    balance_labels: bool = False
    """Choose both weights so that desirable and undesirable responses weigh the same in sum."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step. A prompt then borrows the same response in
    every pass, as in TRL's own order; without it each pass mismatches anew."""

    @property
    def display(self) -> str:
        """Label with the loss, where it is not KTO's."""
        return self.label if self.loss_type == "kto" else "APO-zero (unpaired)"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on labeled responses, one batch a step."""
        from una_bench.training.trl.kto import train_kto

        return train_kto(self, job, probe)
