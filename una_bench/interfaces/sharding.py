"""Division of a training's weights, gradients and optimizer states among its processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Sharding = str | Mapping[str, Any]
"""A name, or the content of a user's file: a DeepSpeed configuration, or ``fsdp_config`` of an accelerate one."""
NONE, FSDP2 = "none", "fsdp2"
STAGES = {"zero2": 2, "zero3": 3}
NAMES = (NONE, FSDP2, *STAGES)
PARTS = WEIGHTS, GRADIENTS, OPTIMIZER = "weights", "gradients", "optimizer states"
_DIVIDED = {1: (OPTIMIZER,), 2: (OPTIMIZER, GRADIENTS), 3: (OPTIMIZER, GRADIENTS, WEIGHTS)}


def zero_stage(sharding: Sharding) -> int:
    """Return the stage of DeepSpeed's ZeRO; 0 without DeepSpeed."""
    if isinstance(sharding, str):
        return STAGES.get(sharding, 0)
    return int(sharding.get("zero_optimization", {}).get("stage", 0))


def is_fsdp(sharding: Sharding) -> bool:
    """Return whether PyTorch's FSDP2 divides everything."""
    return sharding == FSDP2 or (not isinstance(sharding, str) and "fsdp_config" in sharding)


def divided(sharding: Sharding) -> frozenset[str]:
    """Return what the processes of a training divide: some of `PARTS`."""
    return frozenset(_DIVIDED[3] if is_fsdp(sharding) else _DIVIDED.get(zero_stage(sharding), ()))


def display(sharding: Sharding) -> str:
    """Return the name, or a file's engine and stage."""
    if isinstance(sharding, str):
        return sharding
    return "the file's FSDP2" if is_fsdp(sharding) else f"the file's ZeRO-{zero_stage(sharding)}"
