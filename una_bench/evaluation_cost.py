"""How much text the leaderboards' tasks put through a model: sizes of the full tasks, to plan with, not to report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from una_bench.leaderboard_groups import GROUPS


@dataclass(frozen=True, slots=True)
class Size:
    """One task in full."""

    documents: int
    read: int
    """Tokens of a document with its examples and choices, what choices share counted once; rough."""
    written: int = 0
    """Tokens that it may generate at most."""


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "gsm8k": Size(1319, 1000, 256),
        "truthful_qa": Size(817, 850),
        "winogrande": Size(1267, 260),
        "arc": Size(1172, 2900),
        "hellaswag": Size(10042, 1150),
        "mmlu": Size(14042, 900),
        "bbh": Size(5761, 1000),
        "gpqa": Size(1192, 300),
        "mmlu_pro": Size(12032, 1500),
        "musr": Size(756, 1300),
        "ifeval": Size(541, 60, 1280),
        "math_hard": Size(1324, 1300, 1024),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one evaluation of a model comes to."""

    read_tokens: float = 0.0
    token_steps: float = 0.0
    """Steps of generation, each writing one token of every response in a batch."""


def of(settings: Mapping[str, Any]) -> Work:
    """Return the work of the benchmark that runs leaderboards, with these settings of it; other tasks are not known."""
    tasks = settings.get("tasks", ())
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    batch, limit = int(settings.get("batch_size", 64)), settings.get("limit")
    read = steps = 0.0
    for entry in (entry for name in names for entry in GROUPS.get(name, ())):
        size = SIZES[entry.name]
        documents = size.documents if limit is None else min(size.documents, math.ceil(limit))
        read += documents * (size.read + size.written)
        steps += math.ceil(documents / batch) * size.written
    return Work(read_tokens=read, token_steps=steps)
