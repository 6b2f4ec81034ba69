"""Binary classifier optimization."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Bco(Method):
    """TRL's BCOTrainer on single responses with a label; the reward's threshold is its running mean."""

    label = "BCO"
    feedback = Feedback.BINARY
    resident = frozenset({Resident.REFERENCE})
    paper = "Jung et al. 2024, arXiv:2404.04656, Eq. 9"
    trainer = "trl.experimental.bco.BCOTrainer"
    last_trl = "1.13"
    preload = ("una_bench.training.trl.bridge", "trl.experimental.bco")
    one_process = ""

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    precompute_ref_log_probs: bool = False
    """Run the reference model once before training and not in every step."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on labeled responses, one batch a step."""
        from una_bench.training.trl.bridge import LABELED, train_given

        return train_given(self, job, probe, LABELED)
