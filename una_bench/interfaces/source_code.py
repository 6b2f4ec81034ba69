"""Hashes of the source code that determines results, part by part, to detect results of other code.

In a checkout each package that runs in workers is a part; in an installed wheel the version stands for all of them.
Methods, benchmarks and problems are parts of their own, those of other distributions included.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.method import Method
from una_bench.interfaces.problem import Problem
from una_bench.record.hashes import content_hash
from una_bench.record.version import VERSION

Parts = dict[str, str]
"""Package or file -> hash of its source, 12 hex digits; in a wheel ``una-bench`` -> version."""
PACKAGES = ("instruments", "interfaces", "machine", "models", "record", "training", "una", "worker")
"""Packages of una_bench that run in every worker."""
ROOT = Path(__file__).resolve().parents[1]
IN_WHEEL = bool({"site-packages", "dist-packages"} & set(ROOT.parts))
ENGINE = tuple(f"una_bench.{name}." for name in (*PACKAGES, "problems"))
DIGITS = 12


def of_engine() -> Parts:
    """Return the parts that run in every worker."""
    return of_packages(*PACKAGES)


def of_class(kind: type) -> Parts:
    """Return the source files of a method, benchmark or problem and of its base classes outside the engine."""
    extensible = (Method, Benchmark, Problem)
    bases = [c for c in kind.__mro__ if issubclass(c, extensible) and c not in extensible]
    own = {c.__module__.removeprefix("una_bench.") for c in bases if not c.__module__.startswith(ENGINE)}
    return {f"{name.replace('.', '/')}.py": _file(name) for name in sorted(own)}


def of_preparation(kind: type[Problem]) -> str:
    """Return one hash of all code that runs when a problem of this kind is prepared."""
    home = kind.__module__.removeprefix("una_bench.").split(".")
    parts = of_packages("/".join(home[:2]), *kind.also) if home[0] == "problems" else of_class(kind)
    return content_hash(of_engine() | parts)[:DIGITS]


def of_packages(*names: str) -> Parts:
    """Return the parts of some packages of una_bench."""
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
    """Return the hash of an imported module's file, ``unknown`` if it has none."""
    module = sys.modules.get(f"una_bench.{name}") or sys.modules.get(name)
    try:
        return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()[:DIGITS] if module else "unknown"
    except (AttributeError, OSError):
        return "unknown"
