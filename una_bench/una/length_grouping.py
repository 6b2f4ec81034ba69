"""Batches of rows of like length: less padding, and still another order in each pass over the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

MOST_BATCHES, LEAST_PARTS = 50, 4
"""Batches that are sorted together at most, and parts that the data is cut into at least: transformers' own."""


def length_grouped(lengths: NDArray[np.int64], batch: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return one pass over all rows, in which ``batch`` rows after each other are of like length.

    Rows are shuffled and cut into parts, each part is sorted, as by transformers' ``LengthGroupedSampler``. That goes
    from long to short within a part; here the batches are then shuffled, so that length follows no schedule.

    Args:
        lengths: Tokens of each row, (I,).
        batch: Rows of a batch. The last batch is the incomplete one, where there is one.
        generator: Decides the order.

    Returns:
        Row numbers, (I,).
    """
    part = batch * max(1, min(len(lengths) // (batch * LEAST_PARTS), MOST_BATCHES))
    shuffled = generator.permutation(len(lengths))
    parts = (shuffled[start : start + part] for start in range(0, len(shuffled), part))
    rows = np.concatenate([rows[np.argsort(-lengths[rows], kind="stable")] for rows in parts])
    whole = len(rows) // batch * batch
    batches = generator.permutation(rows[:whole].reshape(-1, batch))
    return np.concatenate([batches.reshape(-1), rows[whole:]])


class LengthSampler(Sampler[int]):
    """Rows of like length next to each other; a new order each epoch, the same on all processes."""

    def __init__(self, lengths: NDArray[np.int64], batch: int, seed: int) -> None:
        self.lengths, self.batch = lengths, batch
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield rows, batch by batch."""
        yield from length_grouped(self.lengths, self.batch, np.random.default_rng([self.seed, self.epoch])).tolist()
