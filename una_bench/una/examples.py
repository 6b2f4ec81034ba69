"""Tokenized responses in flat arrays, batched without a loop over rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

MOST_BATCHES, LEAST_PARTS = 50, 4
"""Maximum batches sorted together, and minimum parts of the data; as in transformers."""


class Kind(IntEnum):
    """Feedback of one row."""

    PAIRWISE = 0
    BINARY = 1
    SCORE = 2


@dataclass(kw_only=True)
class Examples(Dataset[dict[str, Any]]):
    """Rows of a dataset: I rows, S >= I sequences (a pairwise row has two, the chosen one first).

    A sequence is ``prompt + completion``. The object is its own collator: ``__getitems__`` returns a batch.
    """

    tokens: NDArray[np.int32]
    """All sequences, one after the other."""
    starts: NDArray[np.int64]
    """First token of each sequence, (S,)."""
    lengths: NDArray[np.int64]
    """Tokens of each sequence, (S,)."""
    prompt_lengths: NDArray[np.int64]
    """Tokens of its prompt, (S,)."""
    first: NDArray[np.int64]
    """First sequence of each row, (I,)."""
    kinds: NDArray[np.int8]
    """`Kind` of each row, (I,)."""
    targets: NDArray[np.float64]
    """Label (0, 1), score in [0, 1] or raw reward of each row, (I,); nan for pairs."""
    groups: NDArray[np.int64]
    """Rows with the same number share their ``prompt_mean``, (I,)."""
    log_partition: NDArray[np.float64] | None = None
    """log Z(x) of each row's prompt, nats, (I,)."""
    reference: NDArray[np.float32] | None = None
    """Precomputed log pi_ref of each completion, nats, (S,)."""
    anchor: NDArray[np.float32] | None = None
    """Log-probabilities that replace ``reference`` in the log-ratio, nats, (S,)."""
    pad: int = 0

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return a batch: sequences N = chosen of P pairs, rejected of P pairs, then the other rows."""
        index = np.asarray(rows, dtype=np.int64)
        paired = self.kinds[index] == Kind.PAIRWISE
        pairs, singles = index[paired], index[~paired]
        sequences = np.concatenate([self.first[pairs], self.first[pairs] + 1, self.first[singles]])
        batch = self.sequences(sequences)
        batch["pairs"] = len(pairs)
        batch["binary"] = torch.from_numpy(self.kinds[singles] == Kind.BINARY)
        batch["target"] = torch.from_numpy(self.targets[singles]).float()
        batch["group"] = torch.from_numpy(self.groups[singles])
        if self.log_partition is not None:
            batch["log_partition"] = torch.from_numpy(self.log_partition[singles]).float()
        for name, values in (("reference", self.reference), ("anchor", self.anchor)):
            if values is not None:
                batch[name] = torch.from_numpy(values[sequences])
        return batch

    def longest(self) -> NDArray[np.int64]:
        """Return the length of the longest sequence of each row, tokens, (I,)."""
        return np.maximum.reduceat(self.lengths, self.first)

    def sequences(self, sequences: NDArray[np.int64]) -> dict[str, Any]:
        """Return the model's inputs for N sequences and the positions of their M response tokens.

        Keys: ``input_ids`` (N, T), padded right; ``positions`` (M,), flat index (of N*T) of the hidden state that
        predicts each response token; ``labels`` (M,), these tokens; ``rows`` and ``columns`` (M,), their sequence and
        place in the response; ``prompt_ends`` (N,), flat index of each prompt's last token; ``lengths`` (N,), response
        tokens.
        """
        lengths = self.lengths[sequences]
        prompt_lengths = self.prompt_lengths[sequences]
        width = int(lengths.max())
        place = np.arange(width)
        real_NT = place < lengths[:, None]
        ids_NT = self.tokens[self.starts[sequences][:, None] + np.minimum(place, lengths[:, None] - 1)].astype(np.int64)
        ids_NT[~real_NT] = self.pad
        rows, columns = np.nonzero(real_NT & (place >= prompt_lengths[:, None]))
        arrays = {
            "input_ids": ids_NT,
            "positions": rows * width + columns - 1,
            "labels": ids_NT[rows, columns],
            "rows": rows,
            "columns": columns - prompt_lengths[rows],
            "prompt_ends": np.arange(len(sequences)) * width + prompt_lengths - 1,
            "lengths": lengths - prompt_lengths,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def pack(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the four sequence arrays of `Examples` for S prompts and their completions."""
    prompt_lengths = np.fromiter(map(len, prompts), np.int64, len(prompts))
    lengths = prompt_lengths + np.fromiter(map(len, completions), np.int64, len(completions))
    flat = (token for pair in zip(prompts, completions, strict=True) for part in pair for token in part)
    return {
        "tokens": np.fromiter(flat, np.int32, int(lengths.sum())),
        "starts": np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        "lengths": lengths,
        "prompt_lengths": prompt_lengths,
    }


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


def identity(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the batch unchanged: it is already collated."""
    return batch
