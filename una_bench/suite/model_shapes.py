"""Sizes of language models from their configuration, without loading or fetching them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from una_bench.models import catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides parameters, memory and operations of a decoder; an encoder is near enough to one."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False
    """Whether the output layer is the embedding."""
    biases: bool = False
    """Whether queries, keys and values have biases."""
    gated: bool = True
    """Whether the feed-forward part has a gate beside its first product."""

    @property
    def linear(self) -> Mapping[str, tuple[int, int]]:
        """Width in and out of each product of one layer."""
        query, value = self.heads * self.head_dim, self.kv_heads * self.head_dim
        gate = {"gate_proj": (self.hidden, self.intermediate)} if self.gated else {}
        return {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, value),
            "v_proj": (self.hidden, value),
            "o_proj": (query, self.hidden),
            **gate,
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """All weights, norms included."""
        biases = self.heads * self.head_dim + 2 * self.kv_heads * self.head_dim if self.biases else 0
        layer = sum(a * b for a, b in self.linear.values()) + 2 * self.hidden + biases
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapters(self, rank: int, targets: str | Sequence[str]) -> int:
        """Weights of low-rank adapters on the named products, or on all of them (any other word)."""
        names = self.linear if isinstance(targets, str) else targets
        return self.layers * sum(rank * sum(self.linear[n]) for n in names if n in self.linear)

    @property
    def cache_values(self) -> int:
        """Keys and values that generation keeps of one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def _shape(sizes: str, **more: Any) -> Shape:
    names = ("hidden", "layers", "intermediate", "heads", "kv_heads", "head_dim", "vocabulary")
    return Shape(**dict[str, Any](zip(names, map(int, sizes.split()), strict=True)), **more)


KNOWN: Mapping[str, Shape] = MappingProxyType(
    {
        "mistralai/Mistral-7B-v0.1": _shape("4096 32 14336 32 8 128 32000"),
        "mistralai/Mistral-7B-Instruct-v0.1": _shape("4096 32 14336 32 8 128 32000"),
        "Qwen/Qwen2-1.5B": _shape("1536 28 8960 12 2 128 151936", tied=True, biases=True),
        "Ray2333/GRM-Gemma-2B-rewardmodel-ft": _shape("2048 18 16384 8 1 256 256000", tied=True),
        "Ray2333/GRM-Llama3.2-3B-rewardmodel-ft": _shape("3072 28 8192 24 8 128 128256", tied=True),
        "smollm2": _shape("576 30 1536 9 3 64 49152", tied=True),
        "minilm": _shape("384 6 1536 12 12 32 30522", tied=True, biases=True, gated=False),
    }
)
"""Models of the suites that come along, as their ``config.json`` have them, for where they are not on this machine."""


def of(name: str) -> Shape | None:
    """Return the sizes of a model that is on this machine or known; None of any other."""
    folder = catalog.added_folder(name) if catalog.is_added(name) else Path(name)
    file = folder / "config.json"
    if name in KNOWN and not file.is_file():
        return KNOWN[name]
    try:
        return _read(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(config: Mapping[str, Any]) -> Shape:
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    return Shape(
        hidden=hidden,
        layers=int(config["num_hidden_layers"]),
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or hidden // heads),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", True)),
        biases=config.get("model_type") in {"qwen2", "bert"},
        gated=config.get("model_type") != "bert",
    )
