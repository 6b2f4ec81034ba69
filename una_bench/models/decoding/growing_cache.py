"""Attention cache with spare capacity, so that appending a token does not copy the earlier ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 256
"""Minimum tokens of capacity to add when the cache is full."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, as the leading part of larger tensors."""

    keys: Tensor
    values: Tensor

    def __init__(self, *args: Any, most: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all: tuple[Tensor, Tensor] | None = None
        self._most = most

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values, (B, H, T, D), and return all of them."""
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
        """Repeat each row; drops the spare capacity."""
        super().batch_repeat_interleave(repeats)
        self._all = None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows ``indices``; drops the spare capacity."""
        super().batch_select_indices(indices)
        self._all = None

    def _larger(self, held: Tensor, like: Tensor, length: int) -> Tensor:
        """Return a larger tensor, by half or by `ROOM`, that begins with ``held``."""
        batch, heads, _, width = like.shape
        capacity = length + max(ROOM, length // 2)
        capacity = capacity if self._most is None else max(length, min(capacity, self._most))
        room: Tensor = torch.empty(batch, heads, capacity, width, dtype=like.dtype, device=like.device)
        if held.numel():
            room[..., : held.shape[-2], :] = held
        return room


def growing_cache(most: int | None = None) -> Cache:
    """Return an empty cache, with capacity for at most ``most`` tokens if given; tokens cropped off are overwritten."""
    return Cache(layer_class_to_replicate=partial(GrowingLayer, most=most))


def attends_to_all(model: Any) -> bool:
    """Return whether every layer attends to all earlier tokens, as this cache assumes."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return kinds == {"full_attention"} and not window


def read_on(model: Any, ids_BT: Tensor, real_BS: Tensor, cache: Cache, *, keep: int) -> Tensor:
    """Process tokens (B, T) after those cached, under the mask of both (B, S); return the last logits, (B, keep, V)."""
    logits_BTV: Tensor = model(
        input_ids=ids_BT,
        attention_mask=real_BS,
        position_ids=(real_BS.cumsum(-1) - 1).clamp(min=0)[:, -ids_BT.shape[1] :],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    ).logits
    return logits_BTV
