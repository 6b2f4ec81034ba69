"""Batches of rows of similar length, reshuffled each epoch: less padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

MOST_BATCHES, LEAST_PARTS = 50, 4
"""Maximum batches sorted together, and minimum parts of the data; as in transformers."""


def length_grouped(lengths: NDArray[np.int64], batch: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return all rows in an order in which each batch has rows of similar length.

    As in transformers' ``LengthGroupedSampler``, rows are shuffled and cut into parts, and each part is sorted. The
    batches are then shuffled, so that length does not fall within a part.

    Args:
        lengths: Tokens of each row, (I,).
        batch: Rows per batch; an incomplete batch comes last.
        generator: Random generator of the order.

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
    """Rows in batches of similar length; reshuffled each epoch, the same on all processes."""

    def __init__(self, lengths: NDArray[np.int64], batch: int, seed: int) -> None:
        self.lengths, self.batch = lengths, batch
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield rows, batch by batch."""
        yield from length_grouped(self.lengths, self.batch, np.random.default_rng([self.seed, self.epoch])).tolist()
