"""Splitting of a padded batch into short and long rows, where it saves more padding than a second pass costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SPLIT_TOKENS = 1024
"""Smallest padded batch to split; below it, a second pass costs more than padding."""
SPLIT_SAVING = 0.08
"""Minimum share of the padded batch that a split must save."""
SPLIT_PARTS, SPLIT_WIDTH = 4, 4
"""A split is at a multiple of a quarter of the rows and of four tokens, for few `product_sizes`."""

Part = tuple[Tensor, int]
"""Rows of a batch, (P,), and the length of the longest of them, tokens."""


def parts_of(batch: Mapping[str, Any]) -> list[Part]:
    """Return all rows as one part, or short and long rows as two; on accelerators always one part."""
    ids_NT, split = batch["input_ids"], _split(batch)
    count, width = ids_NT.shape
    if split is None:
        return [(torch.arange(count, device=ids_NT.device), width)]
    order, short, narrow = torch.from_numpy(split[0]), *split[1:]
    return [(order[:short], narrow), (order[short:], width)]


def _split(batch: Mapping[str, Any]) -> tuple[NDArray[np.int64], int, int] | None:
    """Return rows sorted by length, the number of short ones and their width; None if one part is cheaper."""
    ids_NT = batch["input_ids"]
    count, width = ids_NT.shape
    if count < 2 or count * width < SPLIT_TOKENS or ids_NT.device.type != "cpu":
        return None
    # In NumPy: on a few numbers its calls take a fifth of PyTorch's.
    lengths_N = batch["prompt_ends"].numpy() % width + 1 + batch["lengths"].numpy()
    order_N = lengths_N.argsort(kind="stable")
    lengths_N = lengths_N[order_N]
    quarter = max(1, count // SPLIT_PARTS)
    short = np.arange(quarter, count, quarter)
    narrow = np.minimum(-(-lengths_N[short - 1] // SPLIT_WIDTH) * SPLIT_WIDTH, width)
    sizes = short * narrow + (count - short) * width
    best = int(sizes.argmin())
    if int(sizes[best]) > (1 - SPLIT_SAVING) * count * width:
        return None
    return order_N, int(short[best]), int(narrow[best])


def padded_tokens(batch: Mapping[str, Any]) -> int:
    """Return the tokens that pass through the model for a batch, padding included, without reading a device tensor."""
    count, width = batch["input_ids"].shape
    split = _split(batch)
    return int(count * width - (0 if split is None else split[1] * (width - split[2])))


def hidden_states(decode: Callable[..., Tensor], batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Run a decoder, ``input_ids`` (P, W) -> last hidden states (P, W, D), over a batch.

    A batch with a pack is one row, other batches are two parts if that is cheaper. Return the state that predicts each
    of the M response tokens, (M, D), and the last state of each of the N prompts without gradient, (N, D).
    """
    if (packed := batch.get("pack")) is not None:
        flat = decode(**packed.inputs()).flatten(0, 1)
        return flat[packed.places[0]], flat.detach()[packed.places[1]]
    parts = parts_of(batch)
    width, ids_NT = batch["input_ids"].shape[1], batch["input_ids"]
    if len(parts) == 1:
        flat = decode(input_ids=ids_NT).flatten(0, 1)
        return flat[batch["positions"]], flat.detach()[batch["prompt_ends"]]
    states, places, prompts, owners = [], [], [], []
    for rows, narrow in parts:
        local_N = torch.full((len(ids_NT),), -1).index_put((rows,), torch.arange(len(rows)))
        flat = decode(input_ids=ids_NT[rows, :narrow]).flatten(0, 1)
        chosen = (local_N[batch["rows"]] >= 0).nonzero().squeeze(-1)
        positions = batch["positions"][chosen]
        states.append(flat[local_N[positions // width] * narrow + positions % width])
        places.append(chosen)
        prompts.append(flat.detach()[torch.arange(len(rows)) * narrow + batch["prompt_ends"][rows] % width])
        owners.append(rows)
    return torch.cat(states)[torch.cat(places).argsort()], torch.cat(prompts)[torch.cat(owners).argsort()]
