"""The fact ``code`` of a record: hashes of the source code that a cell was trained and evaluated with.

method         file of the method -> hash
training       packages and benchmarks that run in its training, and the preparation of the suite -> hash
evaluation     packages and benchmarks that evaluate its checkpoint -> hash
other          parts that had changed when a run kept the cell; absent for most cells
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Code = Mapping[str, Any]
TRAINING = ("method", "training")
EVALUATION = ("evaluation",)
OTHER = "other"
HASH = re.compile(r"[0-9a-f]{12}")
"""Form of a hash. One that is read from a file becomes part of a folder's name, so it is checked."""


def part(code: Code, stages: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of ``code`` that determines the result of some stages."""
    return {stage: code.get(stage, {}) for stage in stages}


def different(old: Code, new: Code, stages: tuple[str, ...] = TRAINING + EVALUATION) -> list[str]:
    """Return the names of the parts whose source differs between two facts."""
    before, now = ({k: v for stage in stages for k, v in code.get(stage, {}).items()} for code in (old, new))
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
