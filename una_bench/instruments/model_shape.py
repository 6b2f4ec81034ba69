"""Sizes of a language model as its configuration states them, without its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes that decide the parameters, memory and operations of a decoder; approximate for an encoder."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = True
    """Whether the output layer is the embedding."""
    experts: int = 1
    """Feed-forward parts per layer."""
    active_experts: int = 1
    """Those that one token visits."""

    @property
    def linear(self) -> Mapping[str, tuple[int, int]]:
        """Input and output width of each matrix of one layer; of experts, only one."""
        hidden, wide = self.hidden, self.intermediate
        query, value = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = {"q_proj": (hidden, query), "k_proj": (hidden, value), "v_proj": (hidden, value)}
        feed_forward = {"gate_proj": (hidden, wide), "up_proj": (hidden, wide), "down_proj": (wide, hidden)}
        return attention | {"o_proj": (query, hidden)} | feed_forward

    @property
    def parameters(self) -> int:
        """All weights, without biases."""
        one = sum(i * o for i, o in self.linear.values()) + 2 * self.hidden
        layer = one + (self.experts - 1) * 3 * self.hidden * self.intermediate
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapters(self, rank: int, targets: str | Sequence[str]) -> int:
        """Return the weights of low-rank adapters on the named matrices; a string means all of them."""
        names = self.linear if isinstance(targets, str) else targets
        return self.layers * rank * sum(sum(self.linear[name]) for name in names if name in self.linear)

    @property
    def attention(self) -> int:
        """Layers times total query-head width; a token that attends to t tokens costs 4t times this."""
        return self.layers * self.heads * self.head_dim

    @property
    def cached(self) -> int:
        """Numbers that generation keeps for one token: keys and values."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def from_config(config: Any) -> Shape:
    """Read a ``config.json`` or a configuration of transformers; a missing size is a TypeError or ValueError."""

    def get(name: str) -> Any:
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        return max(value) if isinstance(value, list | tuple) else value  # one number per layer

    heads, hidden = int(get("num_attention_heads")), int(get("hidden_size"))
    experts = int(get("num_local_experts") or get("num_experts") or 0)
    return Shape(
        hidden=hidden,
        layers=int(get("num_hidden_layers")),
        intermediate=int((experts and get("moe_intermediate_size")) or get("intermediate_size") or 4 * hidden),
        heads=heads,
        kv_heads=int(get("num_key_value_heads") or heads),
        head_dim=int(get("head_dim") or hidden // heads),
        vocabulary=int(get("vocab_size") or 0),
        tied=get("tie_word_embeddings") is not False,
        experts=experts or 1,
        active_experts=int(get("num_experts_per_tok")) if experts else 1,
    )
