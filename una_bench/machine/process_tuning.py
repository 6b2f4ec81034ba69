"""Memory allocator and number of threads of this process.

glibc returns a large tensor to the kernel as soon as it is freed, and the next one is mapped and cleared page by page:
a tenth to a fifth of the time of a language model's passes on a CPU. Training pays it, because it is measured as users
have it and memory that is kept would count in its peak; processes whose memory is not measured keep what they free.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Numbers of glibc's ``malloc.h``."""
KEPT_BYTES = 2**31 - 1
"""Free memory at the top of the heap that stays in the process: the largest value of the setting."""
STEP_BYTES = 64 * 2**20
"""Least growth of the heap."""


def keep_freed_memory() -> bool:
    """Keep freed memory in this process; return whether glibc accepted it (no other C library can)."""
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
    """Compute with a fixed number of threads: sums are the same on any machine with that many cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
