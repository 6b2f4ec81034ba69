"""Group relative policy optimization as TRL has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import field_validator

from una_bench.interfaces import trl_source
from una_bench.interfaces.method import Feedback, Job, Resident
from una_bench.interfaces.settings import Count, NotNegative, Positive
from una_bench.training.rollout_settings import Rollouts

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

    Loss = str
else:
    Loss = Literal[trl_source.losses("trl.trainer.grpo_trainer")]  # of the TRL that is installed


class Grpo(Rollouts):
    """TRL's GRPOTrainer: the advantage of a response is its reward against those of the same prompt; no value model."""

    label = "GRPO"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Shao et al. 2024, arXiv:2402.03300, Eq. 3; DAPO: Yu et al. 2025, arXiv:2503.14476"
    trainer = "trl.trainer.grpo_trainer.GRPOTrainer"
    preload = ("una_bench.training.trl.online", "trl.trainer.grpo_trainer")
    one_process = "TRL samples with a generator in each process, which gives other responses than one process"

    beta: NotNegative = 0.05
    """Weight of the KL term, per token; 0, TRL's default, keeps no reference model."""
    loss_type: Loss = "dapo"
    """TRL's name of the loss: ``dapo`` (its default) averages over the tokens of a batch, ``grpo`` over those of a
    response, ``dr_grpo`` divides by a constant."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Unit of the advantage: the rewards' deviation among responses to a prompt, in the batch, or none."""
    epsilon: Positive = 0.2
    """How far the ratio of new to old probability may move in one update."""
    per_device_train_batch_size: Count | None = None
    """Responses in one forward and backward pass; None: all of an optimizer step."""

    @field_validator("num_generations")
    @classmethod
    def _compares(cls, value: int) -> int:
        if value < 2:
            raise ValueError("at least 2 are needed, since GRPO compares the responses to a prompt")
        return value

    @property
    def display(self) -> str:
        """Label with the loss and the unit of the advantage, where they are not TRL's defaults."""
        changed = [self.loss_type] if self.loss_type != "dapo" else []
        changed += [f"rewards scaled by {self.scale_rewards}"] if self.scale_rewards != "group" else []
        return f"{self.label} ({', '.join(changed)})" if changed else self.label

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.trl.online import train_generating

        return train_generating(self, job, probe)
