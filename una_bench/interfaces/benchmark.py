"""Interface of a benchmark, which watches training, reads the instruments or evaluates a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from una_bench.interfaces.settings import Settings

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.prepared import DataSize, Prepared
    from una_bench.record.schema import Better, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained policy to evaluate, with its prepared folder."""

    path: Path
    """transformers model folder, or adapter folder whose base is ``prepared.policy``."""
    prepared: Prepared
    out: Path
    """Folder for a benchmark's files (such as lm-eval's results); they are kept beside the record."""
    device: str = "cpu"
    seed: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """What a benchmark puts here becomes part of the record's facts."""


class Benchmark(Settings):
    """One thing measured. Override the hooks that apply; the others cost nothing."""

    label: ClassVar[str]
    about: ClassVar[str]
    """One line for ``una-bench list``."""
    chooses: ClassVar[Mapping[str, Better]] = {}
    """Metrics on validation data by which tuning can choose, with the better direction; the first is the default."""
    operational: ClassVar[frozenset[str]] = frozenset()
    """Settings that do not affect results: they are no part of the key of a run."""

    def require(self, cells: Sequence[tuple[str, str]], *, connect: bool) -> None:
        """Refuse with a UserError, before anything starts, what a run of these (method, variant) lacks; without torch.

        A connection may be opened only with ``connect``.
        """

    def overview(self, cells: Sequence[tuple[str, str]], data: DataSize | None) -> dict[str, str]:
        """Return what the screen before a run of these (method, variant) says of the benchmark: heading -> line."""
        return {}

    def check(self, prepared: Prepared, device: str) -> None:
        """Refuse with a UserError, before any training, what the prepared folder does not provide; in a worker."""

    def applies(self, prepared: Prepared) -> bool:
        """Return whether the problem provides what the benchmark needs."""
        return True

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Load what all checkpoints need, once per evaluation process."""

    def watch(self, policy: Any, prepared: Prepared) -> Mapping[str, float]:
        """Return cheap metrics of the policy during training; excluded from training time."""
        return {}

    def after_step(self, probe: Probe) -> None:
        """Read the instruments between two training steps; do any work in a phase of `NOT_TRAINING`."""

    def read(self, probe: Probe) -> list[Measurement]:
        """Return the instruments' measurements after training, in the training process."""
        return []

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Return measurements of a checkpoint, in the evaluation process."""
        return []
