"""una-bench: a fair comparison of PPO, DPO, KTO and UNA in one command, and UNA as a library.

The library part is imported lazily, so that ``import una_bench`` stays free of torch:

    from una_bench import UNATrainer, UNAConfig, OnlineUNATrainer, OnlineUNAConfig
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from una_bench.una.config import OnlineUNAConfig, UNAConfig
    from una_bench.una.online import OnlineUNATrainer
    from una_bench.una.trainer import UNATrainer

_here = Path(__file__).resolve().parent
if not (_here / "methods" / "__init__.py").exists():
    # A checkout or an editable install keeps methods/ and benchmarks/ beside una_bench/; a wheel carries them inside.
    __path__.append(str(_here.parent))

try:
    __version__ = version("una-bench")
except PackageNotFoundError:  # a bare checkout that was never installed
    __version__ = "0+unknown"

_LAZY = {
    "UNAConfig": "una_bench.una.config",
    "OnlineUNAConfig": "una_bench.una.config",
    "UNATrainer": "una_bench.una.trainer",
    "OnlineUNATrainer": "una_bench.una.online",
}
__all__ = ["OnlineUNAConfig", "OnlineUNATrainer", "UNAConfig", "UNATrainer", "__version__"]


def __getattr__(name: str) -> object:
    """Import the library classes when they are first asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'una_bench' has no attribute {name!r}")
