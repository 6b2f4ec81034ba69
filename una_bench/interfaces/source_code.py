"""Hashes of the source code that makes results, part by part: what ran must not be taken for what is here now.

In a checkout each package that runs in workers is a part; of an installed wheel the version stands for all of them.
Methods, benchmarks and problems are parts of their own, also those of other distributions.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.method import Method
from una_bench.record.hashes import content_hash
from una_bench.interfaces.problem import Problem
from una_bench.record.version import VERSION

Parts = dict[str, str]
"""Package or file -> hash of its source, 12 hex digits; ``una-bench`` -> version of a wheel."""
PACKAGES = ("instruments", "interfaces", "machine", "models", "record", "training", "una", "worker")
"""Packages of una_bench that run whatever a worker does."""
ROOT = Path(__file__).resolve().parents[1]
IN_WHEEL = bool({"site-packages", "dist-packages"} & set(ROOT.parts))
DIGITS = 12


def of_engine() -> Parts:
    """Return what runs in every worker."""
    return of_packages(*PACKAGES)


def of_class(kind: type) -> Parts:
    """Return the files of a method, benchmark or problem, and of those that it is derived from."""
    extensible = (Method, Benchmark, Problem)
    bases = [c for c in kind.__mro__ if issubclass(c, extensible) and c not in extensible]
    own = {c.__module__.removeprefix("una_bench.") for c in bases}
    return {f"{name.replace('.', '/')}.py": _file(name) for name in sorted(own)}


def of_preparation(kind: type[Problem]) -> str:
    """Return one hash of everything that runs when a problem of this kind is prepared."""
    home = kind.__module__.removeprefix("una_bench.").split(".")
    parts = of_packages("/".join(home[:2])) if home[0] == "problems" else of_class(kind)
    return content_hash(of_engine() | parts)[:DIGITS]


def of_packages(*names: str) -> Parts:
    """Return packages of una_bench by name."""
    return {"una-bench": VERSION} if IN_WHEEL else {f"una_bench/{name}": _package(ROOT / name) for name in names}


@cache
def _package(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:DIGITS]


@cache
def _file(name: str) -> str:
    """Hash of the file of a module that is imported; ``unknown`` where it has no source."""
    module = sys.modules.get(f"una_bench.{name}") or sys.modules.get(name)
    try:
        return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()[:DIGITS] if module else "unknown"
    except (AttributeError, OSError):
        return "unknown"
