"""Processor cores of a run's workers: concurrent runs use different cores while there are enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def usable() -> list[int]:
    """Return the cores that this process may use; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def claimed(wanted: int) -> Iterator[tuple[list[int], bool]]:
    """Hold ``wanted`` cores inside: those that no other run of this user holds first.

    Yields:
        The cores, fewer where the process may not use as many, and whether another run holds one of them too.
    """
    with ExitStack() as locks:
        free: list[int] = []
        taken: list[int] = []
        for core in usable():
            if len(free) < wanted:
                (free if _lock(core, locks) else taken).append(core)
        yield (free + taken)[:wanted], len(free) < min(wanted, len(free) + len(taken))


def _lock(core: int, locks: ExitStack) -> bool:
    """Take the lock of a core until ``locks`` are released; where no lock can be made, the core counts as free."""
    lock = FileLock(_folder() / f"core-{core}.lock")
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError:  # nowhere to keep it: better no claim than no run
        return True
    locks.callback(lock.release)
    return True


def _folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"una-bench-{user}"
