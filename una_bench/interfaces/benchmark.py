"""What a benchmark is to the engine: it watches training, reads the instruments, or evaluates a checkpoint."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.prepared import Prepared
    from una_bench.record.schema import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained policy to evaluate, and what it was trained on."""

    path: Path
    """transformers model folder, or adapter folder whose base is ``prepared.policy``."""
    prepared: Prepared
    out: Path
    """Where a benchmark may leave files (results and samples of lm-eval); they stay beside the record."""
    device: str = "cpu"
    seed: int = 0


class Benchmark(ABC):
    """One thing measured. Override the hooks that apply; the others cost nothing."""

    label: ClassVar[str]
    about: ClassVar[str]
    """One line for ``una-bench list``."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings that a recipe gives; unknown ones are refused."""
        known = {k: v for k, v in vars(type(self)).items() if not k.startswith("_")}
        for name, value in settings.items():
            if name not in known:
                raise TypeError(name)
            setattr(self, name, value)

    def applies(self, prepared: Prepared) -> bool:
        """Whether this problem offers what the benchmark needs."""
        return True

    def prepare(self, prepared: Prepared, device: str) -> None:  # noqa: B027 - a hook, not a duty
        """Load once, in the process that evaluates, what every checkpoint needs."""

    def watch(self, policy: Any, prepared: Prepared) -> Mapping[str, float]:
        """Return cheap metrics of the policy in the middle of training; its time is not training time."""
        return {}

    def after_step(self, probe: Probe) -> None:  # noqa: B027 - a hook, not a duty
        """Look at the instruments between two training steps; work belongs into a phase that is not training."""

    def read(self, probe: Probe) -> list[Measurement]:
        """Return what the instruments say after training, in the training process."""
        return []

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Return measurements of a checkpoint, in the evaluation process."""
        return []
