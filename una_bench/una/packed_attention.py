"""Attention within the groups of a pack, for any model that uses transformers' ``sdpa``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from una_bench.una.prompt_sharing import Pack

SHORT = 192
"""Up to this many tokens, plain products are faster in low precision than PyTorch's flash kernel for CPUs."""


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as transformers' ``sdpa`` does, and within each group of a pack if the mask carries one.

    Query (B, H, T, D), key and value (B, K, T, D) give the output (B, T, H, D), and None for the attention weights.
    """
    packed: Pack | None = getattr(attention_mask, "pack", None)
    if packed is None:
        return _plain_attention(module, query, key, value, attention_mask, **settings)  # type: ignore[no-any-return]
    sizes = (*packed.sizes, packed.filler)
    *groups, _ = zip(*(states.split(sizes, dim=2) for states in (query, key, value)), strict=True)
    outputs = [
        _group_attention(q, k, v, allowed, scale=settings.get("scaling"), dropout_p=settings.get("dropout", 0.0))
        for (q, k, v), allowed in zip(groups, packed.masks, strict=True)
    ]
    outputs.append(outputs[0].new_zeros(*outputs[0].shape[:2], packed.filler, outputs[0].shape[3]))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _group_attention(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, **settings: Any) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    settings |= {"attn_mask": allowed, "is_causal": allowed is None, "enable_gqa": grouped}
    if query.dtype in (torch.bfloat16, torch.float16) and query.shape[2] <= SHORT:
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(query, key, value, **settings)
    return scaled_dot_product_attention(query, key, value, **settings)


_plain_attention = ALL_ATTENTION_FUNCTIONS["sdpa"]
# Under the name that models use, so that layers recomputed in the backward pass find it too.
AttentionInterface.register("sdpa", attention)
