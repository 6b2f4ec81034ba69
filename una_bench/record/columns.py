"""Columns of numbers as few bytes: differences and bit planes, which a general compressor makes small.

A column is first whole numbers (`of_floats` gives them for floats). What is stored of it are its differences of the
order that is shortest, from their median, one plane of bits after another: planes that hold no
information compress to nothing, and noise takes no more than its own bits.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SIGNIFICAND = 53
"""Bits of the significand of a float."""
MAGNITUDE = 0x7FFF_FFFF_FFFF_FFFF
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
BASE85 = np.full(256, 255, np.uint8)
BASE85[np.frombuffer(DIGITS.encode(), np.uint8)] = np.arange(85)
LARGEST = 62
"""Bits of a whole number."""
PATIENCE = 2
"""Orders of differences that are tried after the best one."""


def from_base85(text: str) -> bytes:
    """Return what ``base64.b85encode`` got, in a tenth of the time of ``b85decode``; `ValueError` for other texts."""
    missing = -len(text) % 5
    digits = BASE85[np.frombuffer((text + "~" * missing).encode("latin-1", "replace"), np.uint8)].reshape(-1, 5)
    words = digits.astype(np.int64) @ (85 ** np.arange(4, -1, -1, dtype=np.int64))
    if (digits == 255).any() or (words >> 32).any():
        raise ValueError("not base 85")
    content = words.astype(">u4").tobytes()
    return content[: len(content) - missing]


def rounded(values: Floats, bits: int) -> Floats:
    """Return floats with at most ``bits`` significant bits."""
    if bits >= SIGNIFICAND:
        return values
    parts, exponents = np.frexp(values)
    return np.where(np.isfinite(values), np.ldexp(np.round(np.ldexp(parts, bits)), exponents - bits), values)


def of_floats(values: Floats) -> tuple[Ints, int | None]:
    """Return floats, exactly, as whole numbers times a power of two; or by their bits (None) where that is shorter."""
    pattern = values.view(np.int64)
    by_bits = np.where(pattern < 0, ~(pattern & MAGNITUDE), pattern)
    if not np.all(np.isfinite(values)):
        return by_bits, None
    parts, exponents = np.frexp(values)
    whole = np.ldexp(parts, SIGNIFICAND).astype(np.int64)
    used = whole != 0
    if not used.any():
        return whole, 0
    zeros = np.log2((whole & -whole)[used]).astype(np.int64)
    unit = int((exponents[used] - SIGNIFICAND + zeros).min())
    if int(exponents[used].max()) - unit > LARGEST:
        return by_bits, None
    shift = exponents.astype(np.int64) - SIGNIFICAND - unit
    fixed = np.where(shift >= 0, whole << np.maximum(shift, 0), whole >> np.maximum(-shift, 0)) * used
    return min(((fixed, unit), (by_bits, None)), key=lambda option: _bits(_shortest(option[0])))


def to_floats(numbers: Ints, unit: int | None) -> Floats:
    """Return the floats of `of_floats`."""
    if unit is not None:
        return np.ldexp(numbers.astype(np.float64), unit)
    magnitude = np.where(numbers < 0, ~numbers, numbers)
    return np.where(numbers < 0, magnitude | ~MAGNITUDE, magnitude).view(np.float64)


def encode(columns: Iterable[Ints]) -> tuple[list[list[int]], bytes]:
    """Return for each column its length, width in bits, median and first values; and the planes of all columns."""
    heads, planes = [], []
    for column in columns:
        order, rest, median = _shortest(column)
        numbers = _zigzag(rest, median)
        width = int(numbers.max()).bit_length() if len(numbers) else 0
        first = [int(np.diff(column, i)[0]) for i in range(order)]
        heads.append([len(column), width, int(median), *first])
        planes += [np.packbits((numbers >> np.uint64(i)).astype(np.uint8) & 1).tobytes() for i in range(width)]
    return heads, b"".join(planes)


def decode(heads: Sequence[Sequence[int]], planes: bytes) -> list[Ints]:
    """Return the columns of `encode`; `ValueError` if there are not as many bytes as the heads say."""
    sizes = [((count - len(first)) + 7) // 8 * width for count, width, _, *first in heads]
    ends = list(itertools.accumulate(sizes))
    if (ends[-1] if ends else 0) != len(planes):
        raise ValueError("another number of bytes than expected")
    columns: list[Ints] = [np.zeros(0, np.int64)] * len(heads)
    by_shape: dict[tuple[int, int], list[int]] = {}
    for at, (count, _, _, *first) in enumerate(heads):
        by_shape.setdefault((count, len(first)), []).append(at)
    for members in by_shape.values():  # together, which takes a fifth of the time
        joined = b"".join(planes[ends[at] - sizes[at] : ends[at]] for at in members)
        for at, column in zip(members, _decoded([heads[at] for at in members], joined), strict=True):
            columns[at] = column
    return columns


def _decoded(heads: Sequence[Sequence[int]], planes: bytes) -> Ints:
    """Return columns of one length and order, one a row."""
    count, first = heads[0][0], np.array([head[3:] for head in heads], np.int64)
    length, widths = count - first.shape[1], [head[1] for head in heads]
    numbers = np.zeros((len(heads), length), np.uint64)
    if planes:
        packed = np.frombuffer(planes, np.uint8).reshape(sum(widths), -1)
        places = np.concatenate([np.arange(width, dtype=np.uint64) for width in widths])[:, None]
        bits = np.unpackbits(packed, axis=1, count=length).astype(np.uint64) << places
        used = [at for at, width in enumerate(widths) if width]
        starts = np.cumsum([0, *(widths[at] for at in used[:-1])])
        numbers[used] = np.add.reduceat(bits, starts, axis=0)
    distance = (numbers >> np.uint64(1)).view(np.int64) ^ -(numbers & np.uint64(1)).view(np.int64)
    columns = distance + np.array([head[2] for head in heads], np.int64)[:, None]
    for order in reversed(range(first.shape[1])):
        columns = np.concatenate([first[:, order, None], columns], axis=1).cumsum(axis=1)
    return columns


def _shortest(column: Ints) -> tuple[int, Ints, Any]:
    best, order, rest = None, 0, column
    while best is None or (order <= best[0] + PATIENCE and len(rest)):
        option = (order, rest, np.sort(rest)[len(rest) // 2] if len(rest) else np.int64(0))
        best = option if best is None or _bits(option) < _bits(best) else best
        order, rest = order + 1, np.diff(rest)
    return best


def _bits(option: tuple[int, Ints, Any]) -> float:
    order, rest, median = option
    return float(np.log2(1.0 + _zigzag(rest, median)).sum()) + 64 * order


def _zigzag(values: Ints, median: Any) -> NDArray[np.uint64]:
    """Return distances from the median as numbers without sign: 0, -1, 1, -2, ... are 0, 1, 2, 3, ..."""
    distance: Ints = values - median
    return ((distance << 1) ^ (distance >> 63)).view(np.uint64)
