"""Orders of rows: groups together, or batches of rows of similar length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

MOST_BATCHES, LEAST_PARTS = 50, 4
"""Maximum batches sorted together, and minimum parts of the data; as in transformers."""


class EpochSampler(Sampler[int]):
    """Order of rows that depends only on a seed and the epoch, so that it is the same on all processes."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length


class GroupSampler(EpochSampler):
    """Rows in random order, groups kept together."""

    def __init__(self, groups: NDArray[np.int64], seed: int) -> None:
        super().__init__(len(groups), seed)
        self.order = np.argsort(groups, kind="stable")
        self.sizes = np.unique(groups, return_counts=True)[1]

    def __iter__(self) -> Iterator[int]:
        shuffled = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.sizes))
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        for group in shuffled:
            yield from self.order[starts[group] : starts[group] + self.sizes[group]].tolist()


def length_grouped(lengths: NDArray[np.int64], batch: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return rows (I,) in an order in which each batch has rows of similar length; an incomplete batch comes last.

    As in transformers' ``LengthGroupedSampler``, rows are shuffled and cut into parts, and each part is sorted. The
    batches are then shuffled, so that length does not fall within a part.
    """
    part = batch * max(1, min(len(lengths) // (batch * LEAST_PARTS), MOST_BATCHES))
    shuffled = generator.permutation(len(lengths))
    parts = (shuffled[start : start + part] for start in range(0, len(shuffled), part))
    rows = np.concatenate([rows[np.argsort(-lengths[rows], kind="stable")] for rows in parts])
    whole = len(rows) // batch * batch
    batches = generator.permutation(rows[:whole].reshape(-1, batch))
    return np.concatenate([batches.reshape(-1), rows[whole:]])


class LengthSampler(EpochSampler):
    """Rows in batches of similar length; ``lengths`` are the tokens of each row, (I,)."""

    def __init__(self, lengths: NDArray[np.int64], batch: int, seed: int) -> None:
        super().__init__(len(lengths), seed)
        self.lengths, self.batch = lengths, batch

    def __iter__(self) -> Iterator[int]:
        yield from length_grouped(self.lengths, self.batch, np.random.default_rng([self.seed, self.epoch])).tolist()
