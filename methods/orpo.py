"""Odds ratio preference optimization, without a reference model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Orpo(Method):
    """TRL's ORPOTrainer: fine-tuning on chosen responses with a penalty on the odds of rejected ones."""

    label = "ORPO"
    feedback = Feedback.PAIRWISE
    paper = "Hong et al. 2024, arXiv:2403.07691, Eq. 6 and 7"
    trainer = "trl.experimental.orpo.ORPOTrainer"
    preload = ("una_bench.training.trl.bridge", "trl.experimental.orpo")
    one_process = "its loss on the chosen responses is a mean over the tokens of each process, not of the batch"

    beta: Positive = 0.1
    """Weight of the odds ratio, lambda in the paper; not a pull towards a reference model."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.bridge import SIDES, train_given

        return train_given(self, job, probe, SIDES)
