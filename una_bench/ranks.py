"""Figures over all processes of one training; with one process they cost nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def highest(values: Mapping[str, int]) -> dict[str, int]:
    """Return the largest value of each name over all processes; every process must ask at the same place."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return dict(values)
    found: list[dict[str, int]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(found, dict(values))
    return {name: max(part[name] for part in found if name in part) for name in sorted({n for p in found for n in p})}
