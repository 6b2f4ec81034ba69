"""PPO as TRL's users have it: policy, reference, reward model and value model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from una_bench.interfaces.budget import Budget
from una_bench.interfaces.method import Feedback, Job, Method, Resident
from una_bench.interfaces.settings import Count, NotNegative, Share

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe


class Ppo(Method):
    """TRL's PPOTrainer.

    As TRL has it, gradients are never clipped (``max_grad_norm`` is ignored), the learning rate moves once per update
    and not per optimizer step, and every pass over the rollout is inside the time of a step, as are TRL's own calls of
    the garbage collector. The value model starts from the reward model where that shares the policy's tokenizer, else
    from the policy. With adapters on the policy the value model is still trained in full, unless ``value_adapters``
    says otherwise.
    """

    label = "PPO"
    feedback = Feedback.PROMPTS
    resident = frozenset({Resident.REFERENCE, Resident.REWARD, Resident.VALUE})
    paper = "Schulman et al. 2017, arXiv:1707.06347, Eq. 7; Ziegler et al. 2019, arXiv:1909.08593"
    trainer = "trl.experimental.ppo.PPOTrainer"
    last_trl = "1.12"
    preload = ("una_bench.training.trl.ppo",)
    one_process = "TRL samples with a generator in each process, which gives other responses than one process"

    responses_per_rollout: Count = 256
    """Responses generated and scored between two phases of training."""
    num_ppo_epochs: Count = 4
    """Passes over each rollout; the budget counts each."""
    num_mini_batches: Count = 4
    """Optimizer steps per pass. TRL's own default is 1; 4 keeps 64 responses behind a step, as for other methods."""
    per_device_train_batch_size: Count | None = None
    """Responses in one forward and backward pass; None: a mini-batch. With ``num_mini_batches`` of 1 only: with several
    passes to a step TRL takes one step a pass over the rollout."""
    local_rollout_forward_batch_size: Count = 256
    """Responses generated and scored at once. TRL's own default is 64."""
    kl_coef: NotNegative = 0.05
    """Strength of the pull towards the reference model, per nat; beta elsewhere."""
    kl_estimator: Literal["k1", "k3"] = "k1"
    """``k1`` (unbiased) or ``k3`` (lower variance) per token."""
    cliprange: NotNegative = 0.2
    """How far the ratio of new to old probability may move in one update."""
    cliprange_value: NotNegative = 0.2
    """How far a value may move in one update, in units of reward."""
    vf_coef: NotNegative = 0.1
    """Weight of the value loss."""
    gamma: Share = 1.0
    """Discount per token."""
    lam: Share = 0.95
    """Lambda of generalized advantage estimation."""
    whiten_rewards: bool = False
    """Scale the rewards of each rollout to unit variance."""
    missing_eos_penalty: float | None = None
    """Taken off the score of a response that does not end."""

    value_adapters: bool = False
    """Where the policy has adapters, give the value model the same and train these and its head, not all of it."""

    def within(self, budget: Budget, batch_responses: int) -> Self:
        """Shorten the rollout, and if need be its passes, where the budget is less than one rollout."""
        if not budget.planned:
            return self
        passes = min(self.num_ppo_epochs, int(budget.amount))
        step = max(1, self.responses_per_rollout // self.num_mini_batches)
        most = int(budget.amount) // passes * (step if budget.kind == "steps" else 1)
        if most >= self.responses_per_rollout and passes == self.num_ppo_epochs:
            return self
        parts = max(1, min(most, self.responses_per_rollout) // step)
        rollout, at_once = min(most, parts * step), self.per_device_train_batch_size
        if at_once is not None:
            at_once = min(at_once, rollout)
            rollout -= rollout % at_once
        changed = {"responses_per_rollout": rollout, "num_mini_batches": parts, "num_ppo_epochs": passes}
        return self.model_copy(update=changed | {"per_device_train_batch_size": at_once})

    def train(self, job: Job, probe: Probe) -> Path:
        """Generate from the training prompts and train on what the reward says."""
        from una_bench.training.trl.ppo import train_ppo

        return train_ppo(self, job, probe)
