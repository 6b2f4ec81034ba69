"""Online DPO as TRL has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Positive

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class OnlineDpo(Method):
    """TRL's OnlineDPOTrainer: two responses a prompt, ranked by the reward, train once with DPO's loss.

    Each step generates its own responses.
    """

    label = "Online DPO"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Guo et al. 2024, arXiv:2402.04792, Algorithm 1"
    trainer = "trl.experimental.online_dpo.OnlineDPOTrainer"
    preload = ("una_bench.training.trl.online", "trl.experimental.online_dpo")
    one_process = "TRL samples with a generator in each process, which gives other responses than one process"

    beta: Positive = 0.1
    """Strength of the pull towards the reference model, per nat."""
    loss_type: Literal["sigmoid", "ipo"] = "sigmoid"
    """``sigmoid`` (DPO) or ``ipo``."""
    missing_eos_penalty: Positive | None = None
    """Taken off the reward of a response that does not end."""

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.trl.online import train_generating

        return train_generating(self, job, probe, pairs=True)
