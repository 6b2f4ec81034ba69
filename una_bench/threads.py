"""A fixed number of threads, so that what is prepared once is the same however many workers a run has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fixed(threads: int) -> Iterator[None]:
    """Compute on so many threads inside: sums over them come out the same wherever there are as many cores or fewer."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
