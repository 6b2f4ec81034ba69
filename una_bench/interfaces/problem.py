"""Interface of a problem: validated settings that can create a prepared folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from una_bench.interfaces.prepared import DataSize
from una_bench.interfaces.settings import Settings

RewardFunction = Callable[[Sequence[str], Sequence[str]], list[float]]
"""(prompts, completions) -> raw rewards; on texts, so that every reward model can use its own tokenizer."""


class Problem(Settings):
    """Model, data and reward of a suite. Subclasses add their settings as fields; torch is imported inside methods."""

    about: ClassVar[str]
    """One line for ``una-bench show``."""
    own_tasks: ClassVar[tuple[str, ...] | None] = None
    """Names of the lm-eval tasks that preparation writes; None: unknown before."""
    also: ClassVar[tuple[str, ...]] = ()
    """Other packages of una_bench whose code prepares it, as ``problems/preference``."""
    drawn: ClassVar[Mapping[str, str]] = {}
    """Seed -> parts of the problem that it draws, in words; none: the problem is given, and has no draws."""
    revision: ClassVar[int] = 1
    """To increase when the same settings prepare different files, so that caches are rebuilt."""
    validation: ClassVar[Mapping[str, Any]] = {}
    """The setting that holds validation data back, with its value while methods are tuned; empty: there is none."""

    kind: str
    """Name of its module in ``una_bench/problems``, or of its entry point."""

    @abstractmethod
    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Fill the folder ``out`` as `una_bench.interfaces.prepared.Prepared` describes; ``say`` reports progress."""

    def parameter_count(self) -> int | None:
        """Return the policy's parameter count, if it is known before preparation."""
        return None

    def size(self) -> DataSize | None:
        """Return the amount of the data, as far as it can be seen quickly before preparation."""
        return None

    def overview(self, data: DataSize | None) -> dict[str, str]:
        """Return what the screen before a run says of the problem: heading -> line."""
        return {"problem": self.about}

    def true_reward(self, prepared: Path) -> RewardFunction | None:
        """Return the ground-truth reward, if the problem has one."""
        return None
