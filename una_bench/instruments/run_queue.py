"""Time that this process has waited for a core, which depends on the machine's load and not on the code."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path

SOURCE = Path("/proc/self/schedstat")
"""Linux, main thread: nanoseconds on a core, nanoseconds waiting for one, number of time slices."""


class _Queue:
    """Reads the second value of `SOURCE`; the file stays open, because a reading must take microseconds."""

    def __init__(self) -> None:
        self._file = os.open(SOURCE, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self) -> float:
        return int(os.pread(self._file, 128, 0).split()[1]) / 1e9


def queue_clock() -> Callable[[], float] | None:
    """Return a clock of the seconds that the main thread waited for a core; None if the kernel does not count them.

    Wall time minus this is the time of the work itself, disk waits and sleeps included.
    """
    try:
        clock = _Queue()
        clock()
    except (OSError, IndexError, ValueError):
        return None
    return clock
