"""Regression to relative rewards, online."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from una_bench.interfaces.method import Feedback, Job, Resident
from una_bench.training.rollout_settings import Rollouts
from una_bench.training.una_settings import UnaMethod

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Rebel(UnaMethod, Rollouts):
    """REBEL: differences of implicit rewards within a prompt are regressed on differences of rewards; no value model.

    The step size eta is 1/beta, with which the penalty towards the rollout's policy and that towards the reference
    become one.
    """

    label = "REBEL"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD})
    regresses = True
    compares_responses = True
    paper = "Gao et al. 2024, arXiv:2404.16767, Algorithm 1"
    preload = ("una_bench.training.una", "una_bench.una.online")

    @field_validator("num_generations")
    @classmethod
    def _compares(cls, value: int) -> int:
        if value < 2:
            raise ValueError("at least 2 are needed, since REBEL compares the responses to a prompt")
        return value

    def train(self, job: Job, probe: Probe) -> Path:
        """Train on generated responses, judged by the job's reward."""
        from una_bench.training.una import train_online

        return train_online(self, job, probe, space="reward", loss_type="difference")
