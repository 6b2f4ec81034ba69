"""Simple preference optimization, without a reference model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.interfaces.search_space import Range
from una_bench.interfaces.settings import NotNegative, Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Simpo(Method):
    """TRL's CPOTrainer with ``loss_type=simpo`` and no term of supervised fine-tuning.

    The reward of a response is beta times its mean log-probability per token; no other model is needed.
    """

    label = "SimPO"
    feedback = Feedback.PAIRWISE
    paper = "Meng et al. 2024, arXiv:2405.14734, Eq. 6"
    trainer = "trl.experimental.cpo.CPOTrainer"
    preload = ("una_bench.training.trl.bridge", "trl.experimental.cpo")
    one_process = ""
    search: ClassVar = {**Method.search, "simpo_gamma": Range(0.1, 1.6)}

    beta: Positive = 2.0
    """Scale of the mean log-probability; not a pull towards a reference model."""
    simpo_gamma: NotNegative = 0.5
    """Margin between the rewards of both sides."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on pairs, half as many a step as responses."""
        from una_bench.training.trl.bridge import SIDES, train_given

        return train_given(self, job, probe, SIDES, loss_type="simpo", cpo_alpha=0.0)
