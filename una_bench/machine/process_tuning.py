"""How the C library gives memory back, for processes whose memory is not measured.

glibc returns a large tensor to the kernel as soon as it is freed, and every new one is mapped, and cleared, page by
page. A tenth to a fifth of the time of a language model's passes on a CPU goes into that. Training pays it, because it
is measured as users have it and because memory that is kept would count in its peak.

A fixed number of threads, so that what is prepared once is the same however many workers a run has.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Numbers of glibc's ``malloc.h``."""
KEPT_BYTES = 2**31 - 1
"""Free memory at the top of the heap that stays in the process: as much as the setting can hold."""
STEP_BYTES = 64 * 2**20
"""By how much the heap grows at least."""


def keep_freed_memory() -> bool:
    """Let this process use again what it frees; only glibc can, elsewhere nothing happens.

    Returns:
        Whether glibc took it.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEPT_BYTES, M_TOP_PAD: STEP_BYTES}
    taken = [libc.mallopt(number, value) == 1 for number, value in settings.items()]
    return all(taken)


@contextmanager
def fixed(threads: int) -> Iterator[None]:
    """Compute on so many threads inside: sums over them come out the same wherever there are as many cores or fewer."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
