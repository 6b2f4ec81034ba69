"""una-bench: a fair comparison of PPO, DPO, KTO and UNA in one command, and UNA as a library.

What people who use or extend it import is here, lazily, so that ``import una_bench`` stays free of torch:

    from una_bench import UNATrainer, UNAConfig, OnlineUNATrainer, OnlineUNAConfig
    from una_bench import Method, Job, Probe, Feedback, Resident, Benchmark, Checkpoint, Measurement, Problem, Prepared
    from una_bench import bounded

Helpers for the trainers of methods are in `una_bench.training`. Deeper paths may move.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench.record.version import VERSION as __version__  # noqa: N811

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe as Probe
    from una_bench.interfaces.benchmark import Benchmark as Benchmark
    from una_bench.interfaces.benchmark import Checkpoint as Checkpoint
    from una_bench.interfaces.method import Feedback as Feedback
    from una_bench.interfaces.method import Job as Job
    from una_bench.interfaces.method import Method as Method
    from una_bench.interfaces.method import Resident as Resident
    from una_bench.interfaces.prepared import Prepared as Prepared
    from una_bench.interfaces.problem import Problem as Problem
    from una_bench.problems.generated.reward_functions import bounded as bounded
    from una_bench.record.schema import Measurement as Measurement
    from una_bench.una.config import OnlineUNAConfig as OnlineUNAConfig
    from una_bench.una.config import UNAConfig as UNAConfig
    from una_bench.una.online import OnlineUNATrainer as OnlineUNATrainer
    from una_bench.una.trainer import UNATrainer as UNATrainer

_here = Path(__file__).resolve().parent
if not (_here / "methods" / "__init__.py").exists():
    # A checkout or an editable install keeps methods/ and benchmarks/ beside una_bench/; a wheel carries them inside.
    __path__.append(str(_here.parent))

_HOMES = {
    "una_bench.instruments.probe": ("Probe",),
    "una_bench.interfaces.benchmark": ("Benchmark", "Checkpoint"),
    "una_bench.interfaces.method": ("Feedback", "Job", "Method", "Resident"),
    "una_bench.interfaces.prepared": ("Prepared",),
    "una_bench.interfaces.problem": ("Problem",),
    "una_bench.problems.generated.reward_functions": ("bounded",),
    "una_bench.record.schema": ("Measurement",),
    "una_bench.una.config": ("OnlineUNAConfig", "UNAConfig"),
    "una_bench.una.online": ("OnlineUNATrainer",),
    "una_bench.una.trainer": ("UNATrainer",),
}
_LAZY = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> object:
    """Import a class when it is first asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'una_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what can be imported from here, lazy names included."""
    return sorted(__all__)
