"""The fact ``code`` of a record: hashes of the source code that its cell was trained and evaluated with.

method         file of the method -> hash
training       packages and benchmarks that ran while it trained, and the preparation -> hash
evaluation     packages and benchmarks that judged the checkpoint -> hash
other          parts that were other than the code of the run that kept the cell all the same; absent for most
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Code = Mapping[str, Any]
TRAINING = ("method", "training")
EVALUATION = ("evaluation",)
OWN = ("method",)
SHARED = ("training", "evaluation")
OTHER = "other"
HASH = re.compile(r"[0-9a-f]{12}")
"""What a hash of code looks like: those that are read from files become part of folders' names."""


def part(code: Code, stages: tuple[str, ...]) -> dict[str, Any]:
    """Return what of ``code`` one stage's result hangs on."""
    return {stage: code.get(stage, {}) for stage in stages}


def different(old: Code, new: Code, stages: tuple[str, ...] = TRAINING + EVALUATION) -> list[str]:
    """Name the packages and files whose source is not the same in both."""
    before, now = ({k: v for stage in stages for k, v in code.get(stage, {}).items()} for code in (old, new))
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
