"""How long this process has waited for a core: time that a busy machine takes, and no change of the code."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path

SOURCE = Path("/proc/self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds ready but waiting for one, number of turns; of the main thread."""


class _Queue:
    """Reads the second figure of `SOURCE`; the file is kept open, because a reading must cost microseconds."""

    def __init__(self) -> None:
        self._file = os.open(SOURCE, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self) -> float:
        return int(os.pread(self._file, 128, 0).split()[1]) / 1e9


def queue_clock() -> Callable[[], float] | None:
    """Return a clock of the seconds that the main thread was ready to run and had no core; None where nobody counts.

    Wall time less this is the time that the work itself took, waits for disks and sleeps included.
    """
    try:
        clock = _Queue()
        clock()
    except (OSError, IndexError, ValueError):
        return None
    return clock
