"""What a problem is to the engine: validated settings that can be made into a prepared folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

RewardFunction = Callable[[Sequence[str], Sequence[str]], list[float]]
"""(prompts, completions) -> one raw reward each; texts, so that every reward model keeps its own tokenizer."""


class Problem(BaseModel):
    """Model, data and reward of a suite. Subclasses add their settings as fields; torch is imported inside methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    about: ClassVar[str]
    """One line for ``una-bench show``."""
    revision: ClassVar[int] = 1
    """Raised when the same settings prepare something else than before, so that caches are made again."""
    later: ClassVar[dict[str, Any]] = {}
    """Settings that came after suites had been run -> what they were before (`una_bench.suite.plan.before`)."""

    kind: str
    """Name of the module in ``una_bench/problems`` (or of an entry point) that makes it."""

    @abstractmethod
    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Fill the folder ``out`` as `una_bench.interfaces.prepared.Prepared` describes; ``say`` reports progress."""

    def parameter_count(self) -> int | None:
        """Parameters of the policy where arithmetic knows them before anything is prepared."""
        return None

    def true_reward(self, prepared: Path) -> RewardFunction | None:
        """Return the ground-truth reward where the problem knows it."""
        return None
