"""UNA online: responses of the policy, scored as they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from una_bench.interfaces.method import Feedback, Job, Resident
from una_bench.training.rollout_settings import Rollouts
from una_bench.training.una_settings import UnaScoreRegression

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class UnaOnline(UnaScoreRegression, Rollouts):
    """UNA with generated responses and a reward; no value model."""

    label = "UNA-online"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    paper = "Wang et al. 2024, arXiv:2408.15339, Eq. 9 and section 2.3.4"
    preload = ("una_bench.training.una", "una_bench.una.online")

    normalization: Literal["sigmoid", "quantile", "identity"] | None = None
    """``sigmoid``, ``quantile`` or ``identity``; None: ``sigmoid`` in score space, ``identity`` in reward space."""
    anchor: Literal["reference", "rollout"] = "reference"
    """``reference`` (as published) or ``rollout`` (as in the released code)."""
    sampler: Literal["una", "transformers"] = "una"
    """``una``, or ``transformers``: its ``generate`` with the same draws; slower."""
    missing_eos_penalty: float | None = None
    """Taken off the raw reward of a response that does not end."""

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.offset == "prompt_mean" and self.num_generations < 2:
            raise ValueError("offset=prompt_mean needs num_generations of at least 2")
        return self

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.una import train_online

        return train_online(self, job, probe)
