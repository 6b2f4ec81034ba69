"""Memory allocator and number of threads of this process.

glibc returns a large tensor to the kernel as soon as it is freed, and the next one is mapped and cleared page by page,
which takes 10 to 20 % of the time of a language model's passes on a CPU. Training keeps this default, because retained
memory would count in its peak; processes whose memory is not measured retain what they free.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameter numbers from glibc's ``malloc.h``."""
KEPT_BYTES = 2**31 - 1
"""Free memory retained at the top of the heap: the largest allowed value."""
STEP_BYTES = 64 * 2**20
"""Minimum growth of the heap."""


def keep_freed_memory() -> bool:
    """Retain freed memory in this process; return whether that worked (only glibc can)."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEPT_BYTES, M_TOP_PAD: STEP_BYTES}
    accepted = [libc.mallopt(number, value) == 1 for number, value in settings.items()]
    return all(accepted)


@contextmanager
def fixed(threads: int) -> Iterator[None]:
    """Compute with a fixed number of threads, so that sums are the same on any machine with that many cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
