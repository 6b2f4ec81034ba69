"""Kahneman-Tversky optimisation as TRL has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.method import Feedback, Job, Method, NotNegative, Positive, Resident

if TYPE_CHECKING:
    from una_bench.measure import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Kto(Method):
    """TRL's KTOTrainer on single responses with a label, with the tokens as prepared.

    The reference point is estimated from mismatched prompts and responses of the same batch, which is a further
    forward pass of policy and reference in every step.
    """

    label = "KTO"
    feedback = Feedback.BINARY
    resident = frozenset({Resident.REFERENCE})
    paper = "Ethayarajh et al. 2024, arXiv:2402.01306, Eq. 7 and 8"

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    desirable_weight: NotNegative = 1.0
    """Weight of desirable responses."""
    undesirable_weight: NotNegative = 1.0
    """Weight of undesirable responses."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on labelled responses, one batch a step."""
        from una_bench.trl_bridge.offline import train_kto

        return train_kto(self, job, probe)
