"""Packs: the sequences of a batch in one row, each prompt once, without padding.

A pack is a row of groups, ``prompt, response, response, ...``. A response attends to its prompt and to itself, at the
positions that it has alone, so its log-probability and gradient are those of separate rows up to rounding. The last
token of a response predicts nothing and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from una_bench.una.product_sizes import rounded

LEAST_TOKENS = 512
"""Smallest padded batch to pack, tokens."""
LEAST_SAVING = 0.08
"""Minimum share of the padded batch that a pack must save."""
LEAST_GROUP = 32
"""Minimum mean tokens of a group; each group is a call of the attention kernel."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A batch of N sequences with M response tokens as one row of S tokens."""

    input_ids: Tensor
    """Tokens, (1, S)."""
    position_ids: Tensor
    """Position of each token in its sequence, (1, S)."""
    places: tuple[Tensor, Tensor]
    """Index of the state that predicts each response token, in the order of the batch's ``labels``, (M,), and of the
    last token of each sequence's prompt, (N,)."""
    sizes: tuple[int, ...]
    """Tokens of each group."""
    masks: tuple[Tensor | None, ...]
    """True where a token may attend, (size, size), of each group; None: causal."""
    filler: int
    """Tokens after the last group, which belong to no sequence."""

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of the model; the mask carries this object through the model's layers."""
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # transformers passes on a mask of four dimensions
        mask.pack = self  # type: ignore[attr-defined]
        mask.attended_tokens = sum(  # type: ignore[attr-defined]
            size * (size + 1) / 2 if allowed is None else float(allowed.sum())
            for size, allowed in zip(self.sizes, self.masks, strict=True)
        )
        return {"input_ids": self.input_ids, "position_ids": self.position_ids, "attention_mask": mask}


def pack(
    ids_NT: NDArray[np.int64], prompt_lengths: NDArray[np.int64], lengths: NDArray[np.int64], *, fill: bool = False
) -> Pack:
    """Return the pack of N sequences, padded on the right; ``lengths`` are those of prompt and response, (N,).

    ``fill`` rounds its number of tokens, for few `product_sizes`.
    """
    members: dict[bytes, list[int]] = {}
    for row, prompt in enumerate(prompt_lengths):
        members.setdefault(ids_NT[row, :prompt].tobytes(), []).append(row)
    tokens, places, sizes, masks = [], [], [], []
    positions: list[Any] = [None] * len(lengths)
    ends = np.empty_like(lengths)
    used = 0
    for rows in members.values():
        prompt, start = int(prompt_lengths[rows[0]]), used
        tokens.append(ids_NT[rows[0], :prompt])
        places.append(np.arange(prompt))
        used += prompt
        owners = [np.full(prompt, -1)]
        for row in rows:
            last = int(lengths[row]) - 1
            tokens.append(ids_NT[row, prompt:last])
            places.append(np.arange(prompt, last))
            owners.append(np.full(last - prompt, row))
            ends[row] = start + prompt - 1
            positions[row] = np.concatenate([ends[row : row + 1], np.arange(used, used + last - prompt)])
            used += last - prompt
        sizes.append(used - start)
        masks.append(_mask(np.concatenate(owners)) if len(rows) > 1 else None)
    filler = np.zeros(rounded(used) - used if fill else 0, np.int64)
    return Pack(
        input_ids=torch.from_numpy(np.concatenate([*tokens, filler]))[None],
        position_ids=torch.from_numpy(np.concatenate([*places, filler]))[None],
        places=(torch.from_numpy(np.concatenate(positions)), torch.from_numpy(ends)),
        sizes=tuple(sizes),
        masks=tuple(masks),
        filler=len(filler),
    )


def _mask(owners_T: NDArray[np.int64]) -> Tensor:
    """Return the mask of a group, (T, T), from the response of each token, -1 for the prompt, (T,)."""
    causal_TT = np.tri(len(owners_T), dtype=bool)
    return torch.from_numpy(causal_TT & ((owners_T == -1) | (owners_T == owners_T[:, None])))


def pack_if_cheaper(
    ids_NT: NDArray[np.int64],
    prompt_lengths: NDArray[np.int64],
    lengths: NDArray[np.int64],
    padded: int,
    *,
    fill: bool = False,
) -> Pack | None:
    """Return the `pack` of a batch, None if it saves little of the ``padded`` tokens that separate rows compute."""
    if padded < LEAST_TOKENS:
        return None
    packed = pack(ids_NT, prompt_lengths, lengths, fill=fill)
    count = packed.input_ids.numel()
    cheaper = count <= (1 - LEAST_SAVING) * padded and count >= LEAST_GROUP * len(packed.sizes)
    return packed if cheaper else None
