"""Log-probabilities of many texts, with shared prefixes computed once.

Choices of a question share all but a few tokens, questions of a subject share their examples, and the responses of a
pair share their prompt. `Reader` sorts texts into a tree of prefixes, keeps the attention cache of each prefix while
its branches are computed, and computes logits only for scored tokens. Log-likelihoods equal those of whole passes up
to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from una_bench.models.decoding.grouped_attention import grouped
from una_bench.models.decoding.growing_cache import attends_to_all

LEAST_SHARED = 32
"""Minimum tokens of a shared prefix, beyond its parent prefix."""
TOKENS_AT_ONCE = 4096
"""Tokens per batch of branches; the shared prefix counts for each row."""

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class _Text:
    """Input of one or several requests, and its first scored position."""

    ids: tuple[int, ...]
    scored: int
    """First position whose prediction is needed; a shared prefix ends here at the latest."""


class Reader:
    """Computes log-probabilities of many texts with a model that `can_share`."""

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        """Take a model in evaluation mode, and the dtype of log-probabilities; None: that of its logits."""
        self.model, self.dtype = model, dtype
        self.forward_tokens = 0
        """Tokens processed by the model."""

    def continuations(self, pairs: Sequence[tuple[Ids, Ids]]) -> Iterator[tuple[int, Tensor]]:
        """Yield each pair's index, in any order, and log-probabilities at its C continuation tokens, (C, V)."""
        requests: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for place, (context, continuation) in enumerate(pairs):
            requests.setdefault((*context, *continuation)[:-1], []).append((place, len(continuation)))
        texts = [_Text(ids, min(len(ids) - count for _, count in group)) for ids, group in sorted(requests.items())]
        for text, logp_TV in self._predictions(texts):
            for place, count in requests[text.ids]:
                yield place, logp_TV[-count:]

    def _predictions(self, sequences: Sequence[_Text]) -> Iterator[tuple[_Text, Tensor]]:
        """Yield the log-probabilities of each sequence from its first scored position, (T, V)."""
        alone, branches = _split(sequences, 0)
        yield from self._leaves(alone, DynamicCache(), 0)
        for branch in branches:
            yield from self._branch(branch, DynamicCache(), 0)

    def _branch(self, group: list[_Text], cache: Any, depth: int) -> Iterator[tuple[_Text, Tensor]]:
        """Compute sequences with a common prefix, of which ``cache`` holds the first ``depth`` tokens."""
        common = _common(group)
        self._forward([group[0].ids[depth:common]], cache, keep=1)
        alone, branches = _parts(group, common, common)
        yield from self._leaves(alone, cache, common)
        for branch in branches:
            yield from self._branch(branch, cache, common)
            cache.crop(common - cache.get_seq_length())  # negative: number of tokens to remove

    def _leaves(self, group: list[_Text], cache: Any, depth: int) -> Iterator[tuple[_Text, Tensor]]:
        """Compute the rest of each sequence, in batches."""
        for batch in _batches(sorted(group, key=lambda s: -len(s.ids)), depth):
            rows = [s.ids[depth:] for s in batch]
            width = len(rows[0])
            keep = max(width - (s.scored - depth) for s in batch)
            batch_cache = copy.deepcopy(cache) if depth else DynamicCache()
            if depth:
                batch_cache.batch_repeat_interleave(len(rows))
            logits_BTV = self._forward([row + (0,) * (width - len(row)) for row in rows], batch_cache, keep=keep)
            for sequence, row, logits_TV in zip(batch, rows, logits_BTV, strict=True):
                first = sequence.scored - depth - (width - keep)
                last = len(row) - (width - keep)
                yield sequence, logits_TV[first:last].log_softmax(-1, dtype=self.dtype)

    def _forward(self, rows: list[tuple[int, ...]], cache: Any, *, keep: int) -> Tensor:
        """Process (B, T) tokens after those in ``cache``, and return logits of the last positions, (B, keep, V)."""
        ids_BT = torch.tensor(rows, device=self.model.device)
        self.forward_tokens += ids_BT.numel()
        with torch.no_grad(), grouped(self.model):
            logits_BTV: Tensor = self.model(
                input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=keep
            ).logits
        return logits_BTV


def can_share(model: Any) -> bool:
    """Return whether this model's attention cache can be cropped and repeated: it has full attention."""
    from inspect import signature

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return attends_to_all(model) and "logits_to_keep" in signature(inner.forward).parameters


def _common(group: Sequence[_Text]) -> int:
    """Return the length of the common prefix of sorted sequences, up to the first scored position of any of them."""
    most = min(s.scored for s in group)
    first, last = group[0].ids, group[-1].ids
    return next((i for i in range(most) if first[i] != last[i]), most)


def _split(group: Sequence[_Text], depth: int) -> tuple[list[_Text], list[list[_Text]]]:
    """Split sequences into single ones and groups whose prefix, beyond ``depth``, is worth sharing."""
    common = _common(group) if group else 0
    if len(group) > 1 and common - depth >= LEAST_SHARED:
        return [], [list(group)]
    return _parts(group, common, depth) if len(group) > 1 else (list(group), [])


def _parts(group: Sequence[_Text], common: int, depth: int) -> tuple[list[_Text], list[list[_Text]]]:
    """Split sequences by the token after the ``common`` ones; ``depth`` tokens are already computed."""
    alone = [s for s in group if s.scored == common]
    branches = []
    for _, part in groupby((s for s in group if s.scored > common), key=lambda s: s.ids[common]):
        single, shared = _split(list(part), depth)
        alone += single
        branches += shared
    return alone, branches


def _batches(group: Sequence[_Text], depth: int) -> Iterator[list[_Text]]:
    """Yield batches; sequences are sorted by decreasing length."""
    rest = list(group)
    while rest:
        count = max(1, TOKENS_AT_ONCE // len(rest[0].ids))
        yield rest[:count]
        rest = rest[count:]
