"""Sizes of matrix products in low precision on processors: few different ones.

oneDNN compiles code for each size that it meets and keeps it: 0.7 MB a product, half of which it never drops. With a
new number of tokens in each step that soon is more than the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def rounded(count: int) -> int:
    """Return ``count``, rounded up by less than a sixteenth."""
    step = 1 << max(0, count.bit_length() - 5)
    return -(-count // step) * step


def filled(rows: Tensor) -> Tensor:
    """Return rows (M, ...) with zeros after them up to a rounded number, if products have low precision here."""
    extra = rounded(len(rows)) - len(rows) if rows.device.type == "cpu" and torch.is_autocast_enabled("cpu") else 0
    return pad(rows, (0, 0) * (rows.dim() - 1) + (0, extra)) if extra else rows
