"""REINFORCE leave-one-out as TRL has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from una_bench.interfaces.method import Feedback, Job, Resident
from una_bench.interfaces.settings import Count, NotNegative, Positive
from una_bench.training.rollout_settings import Rollouts

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Rloo(Rollouts):
    """TRL's RLOOTrainer: the baseline of a response is the mean reward of the others; the KL term is in the reward."""

    label = "RLOO"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Ahmadian et al. 2024, arXiv:2402.14740, Eq. 8"
    trainer = "trl.trainer.rloo_trainer.RLOOTrainer"
    preload = ("una_bench.training.trl.online", "trl.trainer.rloo_trainer")
    one_process = "TRL samples with a generator in each process, which gives other responses than one process"

    beta: NotNegative = 0.05
    """Strength of the pull towards the reference model, per nat; 0 keeps no reference model."""
    epsilon: Positive = 0.2
    """How far the ratio of new to old probability may move in one update."""
    per_device_train_batch_size: Count | None = None
    """Responses in one forward and backward pass; None: all of an optimizer step."""

    @field_validator("num_generations")
    @classmethod
    def _leaves_one_out(cls, value: int) -> int:
        if value < 2:
            raise ValueError("at least 2 are needed, since RLOO compares the responses to a prompt")
        return value

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.trl.online import train_generating

        return train_generating(self, job, probe)
