"""Rewards of generated text, and how they become scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from una_bench.errors import UserError
from una_bench.models.reward_scorer import RewardModel

Reward = Callable[[Sequence[Any], Sequence[str]], Sequence[float]]
"""(prompts as the dataset has them, completions as text) -> one raw reward each."""


class WeightedReward:
    """The weighted sum of one or several rewards, checked."""

    def __init__(self, rewards: Sequence[Reward], weights: Sequence[float] | None) -> None:
        self.rewards = list(rewards)
        self.weights = [1.0] * len(self.rewards) if weights is None else [float(w) for w in weights]
        if not self.rewards:
            raise UserError("No reward was given. Pass a reward model, a function or a list of them.")
        if len(self.weights) != len(self.rewards):
            raise UserError(
                f"reward_weights has {len(self.weights)} weights for {len(self.rewards)} rewards. Give one for each."
            )

    def __call__(self, prompts: Sequence[Any], completions: Sequence[str]) -> NDArray[np.float64]:
        """Return the raw reward of each response, (B,)."""
        total = np.zeros(len(completions))
        for number, (reward, weight) in enumerate(zip(self.rewards, self.weights, strict=True)):
            values = np.asarray(reward(prompts, completions), dtype=np.float64)
            name = getattr(reward, "__name__", type(reward).__name__)
            if values.shape != total.shape:
                raise UserError(
                    f"Reward {number} ({name}) returned shape {values.shape} for {len(completions)} completions."
                    " Return one number each."
                )
            if not np.isfinite(values).all():
                place = int(np.flatnonzero(~np.isfinite(values))[0])
                raise UserError(
                    f"Reward {number} ({name}) gave {values[place]} to {completions[place]!r}. Return finite numbers."
                )
            total += weight * values
        return total


def make_reward(rewards: Any, tokenizers: Any, args: Any) -> WeightedReward:
    """Return the reward of a trainer: ``rewards`` is a model, a name, a function, or a list of these."""
    many = list(rewards) if isinstance(rewards, list | tuple) else [rewards]
    own = list(tokenizers) if isinstance(tokenizers, list | tuple) else [tokenizers] * len(many)
    batch = args.per_device_eval_batch_size
    made = [
        RewardModel(reward, tokenizer, batch=batch, device=args.device)
        if isinstance(reward, str | Path | torch.nn.Module)
        else reward
        for reward, tokenizer in zip(many, own, strict=True)
        if reward is not None
    ]
    return WeightedReward(made, args.reward_weights)


class Normalizer:
    """Turns raw rewards into what the loss regresses on, the same way on every process."""

    def __init__(self, args: Any) -> None:
        self.args = args
        self.recent: NDArray[np.float64] = np.zeros(0)

    def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the target of each response of a rollout, (B,)."""
        if self.args.normalization == "sigmoid":
            return np.asarray(torch.from_numpy(raw).sigmoid().numpy())
        if self.args.normalization == "quantile":
            self.recent = np.concatenate([self.recent, raw])[-self.args.quantile_window :]
            ordered = np.sort(self.recent)
            below = np.searchsorted(ordered, raw, side="left") + np.searchsorted(ordered, raw, side="right")
            return np.asarray((below + 1) / (2 * len(ordered) + 2))
        if self.args.space == "reward":
            return raw
        low, high = self.args.score_range
        if raw.min() < low or raw.max() > high:
            worst = float(raw.min() if raw.min() < low else raw.max())
            raise UserError(
                f"A reward of {worst} is outside score_range=[{low}, {high}]. Change score_range or normalization."
            )
        return np.asarray((raw - low) / (high - low))
