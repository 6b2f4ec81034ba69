"""Tokenized responses in flat arrays, batched without a loop over rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from una_bench.una.batch_splitting import padded_tokens
from una_bench.una.prompt_sharing import pack_if_cheaper

logger = logging.getLogger(__name__)


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
    longest_packed: int = 0
    """Longest sequence, tokens, of a batch that may be packed; 0: no batch."""
    fills_packs: bool = False
    """Whether packs have few sizes; see `una_bench.una.product_sizes`."""

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

    def allow_packs(self, longest: int, *, fill: bool = False) -> None:
        """Let batches be packed whose sequences have at most ``longest`` tokens; say if some sequences have more."""
        self.longest_packed, self.fills_packs = longest, fill
        most = int(self.lengths.max(initial=0))
        if 0 < longest < most:
            logger.warning(
                "Batches with a sequence of more than %d tokens, the model's window of attention, are computed with a"
                " copy of the prompt for each response; the longest sequence has %d.", longest, most,
            )  # fmt: skip

    def longest(self) -> NDArray[np.int64]:
        """Return the length of the longest sequence of each row, tokens, (I,)."""
        return np.maximum.reduceat(self.lengths, self.first)

    def prompt_numbers(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a number below N for the prompt of each of N sequences, (N,)."""
        numbers: dict[bytes, int] = {}
        parts = zip(self.starts[sequences], self.prompt_lengths[sequences], strict=True)
        prompts = (self.tokens[start : start + length].tobytes() for start, length in parts)
        return np.fromiter((numbers.setdefault(prompt, len(numbers)) for prompt in prompts), np.int64, len(sequences))

    def sequences(self, sequences: NDArray[np.int64]) -> dict[str, Any]:
        """Return `batch_of` for N sequences, and in ``pack`` the same as a `Pack` if it may be used and is cheaper."""
        lengths = self.lengths[sequences]
        prompt_lengths = self.prompt_lengths[sequences]
        width = int(lengths.max())
        place = np.arange(width)
        real_NT = place < lengths[:, None]
        ids_NT = self.tokens[self.starts[sequences][:, None] + np.minimum(place, lengths[:, None] - 1)].astype(np.int64)
        ids_NT[~real_NT] = self.pad
        batch = batch_of(ids_NT, prompt_lengths, lengths)
        if width <= self.longest_packed:
            packed = pack_if_cheaper(ids_NT, prompt_lengths, lengths, padded_tokens(batch), fill=self.fills_packs)
            batch |= {} if packed is None else {"pack": packed}
        return batch


def batch_of(
    ids_NT: NDArray[np.int64], prompt_lengths: NDArray[np.int64], lengths: NDArray[np.int64]
) -> dict[str, Any]:
    """Return the model's inputs for N sequences and the positions of their M response tokens.

    ``lengths`` are those of prompt and response, (N,). Keys: ``input_ids`` (N, T), padded right; ``positions`` (M,),
    flat index (of N*T) of the hidden state that predicts each response token; ``labels`` (M,), these tokens; ``rows``
    and ``columns`` (M,), their sequence and place in the response; ``prompt_ends`` (N,), flat index of each prompt's
    last token; ``lengths`` (N,), response tokens.
    """
    count, width = ids_NT.shape
    place = np.arange(width)
    rows, columns = np.nonzero((place < lengths[:, None]) & (place >= prompt_lengths[:, None]))
    arrays = {
        "input_ids": ids_NT,
        "positions": rows * width + columns - 1,
        "labels": ids_NT[rows, columns],
        "rows": rows,
        "columns": columns - prompt_lengths[rows],
        "prompt_ends": np.arange(count) * width + prompt_lengths - 1,
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


def identity(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the batch unchanged: it is already collated."""
    return batch
