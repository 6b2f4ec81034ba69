"""The suite's reward of generated responses, the same for every method that generates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.training import sharding

if TYPE_CHECKING:
    from una_bench.interfaces.method import Job
    from una_bench.interfaces.prepared import Prepared


def required_reward(prepared: Prepared, job: Job, batch: int) -> Any:
    """Return the learned or the true reward, a function of prompts and completions as text.

    A learned reward that reads the policy's tokens gets ``batch`` responses at once.

    Raises:
        UserError: The problem has no such reward.
    """
    from una_bench.models.reward_scorer import Scorer, reads_text

    sharding.load_whole()
    if job.reward != "learned":
        reward: Any = registry.true_reward(prepared)
    else:
        reward = prepared.reward and Scorer(prepared, job.device, batch=None if reads_text(prepared) else batch)
    if reward is None:
        raise UserError(f"This problem has no {job.reward} reward. Choose another reward, or methods that need none.")
    return reward
