"""An attention cache that keeps room for tokens to come: adding one does not copy all that were before it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 256
"""Tokens of room to add at least, when there is none left."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, as the front part of larger tensors."""

    keys: Tensor
    values: Tensor

    def __init__(self, *args: Any, most: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all: tuple[Tensor, Tensor] | None = None
        self._most = most

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values, (B, H, T, D), and return all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._all is None or self._all[0].shape[-2] < after:
            self._all = (self._larger(self.keys, key_states, after), self._larger(self.values, value_states, after))
        for room, states in zip(self._all, (key_states, value_states), strict=True):
            room[..., before:after, :] = states
        self.keys, self.values = (room[..., :after, :] for room in self._all)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row, in tensors without room."""
        super().batch_repeat_interleave(repeats)
        self._all = None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, in tensors without room."""
        super().batch_select_indices(indices)
        self._all = None

    def _larger(self, held: Tensor, like: Tensor, length: int) -> Tensor:
        """Return a tensor with room for half as much again that begins with what is held."""
        batch, heads, _, width = like.shape
        wanted = length + max(ROOM, length // 2)
        wanted = wanted if self._most is None else max(length, min(wanted, self._most))
        room: Tensor = torch.empty(batch, heads, wanted, width, dtype=like.dtype, device=like.device)
        if held.numel():
            room[..., : held.shape[-2], :] = held
        return room


def growing_cache(most: int | None = None) -> Cache:
    """Return an empty cache; what is cut off its end is written over by what comes next.

    Args:
        most: Tokens that it will hold at most, where that is known: no room is kept beyond them.
    """
    return Cache(layer_class_to_replicate=partial(GrowingLayer, most=most))


def attends_to_all(model: Any) -> bool:
    """Whether every layer attends to all tokens so far, which is what this cache holds."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return kinds == {"full_attention"} and not window


def read_on(model: Any, ids_BT: Tensor, real_BS: Tensor, cache: Cache, *, keep: int) -> Tensor:
    """Read (B, T) tokens after those in the cache; logits of the last ``keep`` positions, (B, keep, V).

    ``real_BS`` says which slots, those of the new tokens last, hold a token that may be looked at.
    """
    logits_BTV: Tensor = model(
        input_ids=ids_BT,
        attention_mask=real_BS,
        position_ids=(real_BS.cumsum(-1) - 1).clamp(min=0)[:, -ids_BT.shape[1] :],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    ).logits
    return logits_BTV
