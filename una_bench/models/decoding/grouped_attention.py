"""Grouped-query attention of several new tokens to cached ones, without copying keys and values.

For more than one new token, transformers copies each key and value for every query head (``repeat_kv``), which on a CPU
with a long cache takes longer than the attention itself. Here the query heads of a group are stacked along the token
axis instead, as further queries of their shared key head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "una_bench_grouped"


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as transformers' ``sdpa`` does; return (B, T, H, D), and None for the attention weights.

    The query is (B, H, T, D), key and value are (B, K, S, D): each of the K heads is shared by H / K query heads. The
    mask is True where a query may attend, the same for all heads, (B, 1, T, S); None: no mask or causal.
    """
    batch, heads, new, width = query.shape
    shared = key.shape[1]
    if attention_mask is None or new == 1 or heads == shared or attention_mask.shape[1] != 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)  # type: ignore[no-any-return]
    each = heads // shared
    out = scaled_dot_product_attention(
        query.reshape(batch, shared, each * new, width),
        key,
        value,
        attn_mask=attention_mask[..., : key.shape[2]].repeat(1, 1, each, 1),
        dropout_p=settings.get("dropout", 0.0),
        scale=settings.get("scaling"),
    )
    return out.reshape(batch, heads, new, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def grouped(model: Any) -> Iterator[None]:
    """Let ``model`` use this attention, if it uses ``sdpa`` on a CPU; otherwise change nothing."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    if before != "sdpa" or torch.device(model.device).type != "cpu":
        yield
        return
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
