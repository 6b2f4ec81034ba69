"""Rewards of generated text, and how they become scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from una_bench.errors import UserError
from una_bench.una.tokens import is_messages, pad_token

Reward = Callable[[Sequence[Any], Sequence[str]], Sequence[float]]
"""(prompts as the dataset has them, completions as text) -> one raw reward each."""


class RewardModel:
    """A sequence-classification model with one output and the tokenizer that is its own; it gets text, never ids."""

    def __init__(self, model: Any, tokenizer: Any = None, *, batch: int = 64, device: Any = None) -> None:
        if isinstance(model, str | Path):
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model)
            model = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32)
        if (outputs := getattr(model.config, "num_labels", None)) != 1:
            raise UserError(f"The reward model has {outputs} outputs; one is needed. Load it with num_labels=1.")
        if tokenizer is None:
            raise UserError("The reward model needs a tokenizer of its own. Pass reward_processing_class.")
        self.pad = pad_token(tokenizer)
        model.config.pad_token_id = self.pad  # by which it finds the last token of a text
        self.model = model.requires_grad_(False).eval()
        self.tokenizer, self.batch = tokenizer, batch
        if device is not None:
            self.model.to(device)

    def _texts(self, prompts: Sequence[Any], completions: Sequence[str]) -> list[list[int]]:
        if is_messages(prompts[0]):
            chats = [
                [*prompt, {"role": "assistant", "content": completion}]
                for prompt, completion in zip(prompts, completions, strict=True)
            ]
            return [list(self.tokenizer.apply_chat_template(c, return_dict=True)["input_ids"]) for c in chats]
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        return [list(ids) for ids in self.tokenizer(texts)["input_ids"]]

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
        """Return the raw reward of each prompt with its completion."""
        ids = self._texts(prompts, completions)
        device = next(self.model.parameters()).device
        out: list[float] = []
        for start in range(0, len(ids), self.batch):
            part = ids[start : start + self.batch]
            width = max(map(len, part))
            padded = torch.tensor([row + [self.pad] * (width - len(row)) for row in part], device=device)
            real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part], device=device)
            logits_B1 = self.model(input_ids=padded, attention_mask=real).logits
            out.extend(logits_B1[:, 0].float().tolist())
        return out


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
