"""Curves and raw steps of a record as one short text, which is unpacked when somebody asks for them.

Exact are the points (x) of all curves, the loss, the learning rate, qualities (curves with a better direction), use of
steps and tokens, and every count of a step. Other logs keep at least 12 significant bits and a two-thousandth of their
range. Times of steps are rounded to 1/100 of the median step, CPU and waiting time to 1/20.

The text: 8 hexadecimal digits of CRC-32, then base 85 of LZMA of a line of JSON and the planes of `columns`.
"""

from __future__ import annotations

import base64
import json
import lzma
import math
import zlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from una_bench.record.samples import PROGRESS, Better, Curve, StepSamples

if TYPE_CHECKING:
    from una_bench.record.columns import Floats, Ints

EXACT = frozenset({"loss", "learning_rate", "lr", f"{PROGRESS}steps", f"{PROGRESS}tokens"})
"""Curves that are not rounded, whatever their values: what the gate compares, and counts."""
LEAST_BITS = 12
RANGE_BITS = 11
LONGEST_SECONDS = 1e9
PER_STEP = 100
"""Ticks of a median step, at least."""
COARSE = 5
"""Ticks to which CPU and waiting time are rounded."""
MOST_BYTES = 2**28
"""Largest content; more is not from una-bench."""
COUNTS = ("responses", "prompt_tokens", "response_tokens", "optimizer_steps")
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**20}]


def check(text: str) -> str:
    """Return ``text`` if it is a whole one; `ValueError` if it was changed."""
    if text and text[:8] != f"{zlib.crc32(text[8:].encode()):08x}":
        raise ValueError("its checksum is another, so curves and steps were changed after they were written")
    return text


class _Columns:
    """Columns to be stored; equal ones are stored once."""

    def __init__(self) -> None:
        self.numbers: list[Ints] = []
        self.index: dict[bytes, int] = {}

    def add(self, numbers: Ints) -> int:
        at = self.index.setdefault(numbers.tobytes(), len(self.numbers))
        if at == len(self.numbers):
            self.numbers.append(numbers)
        return at

    def add_floats(self, values: Floats, bits: int) -> tuple[int, int | None]:
        """Add floats, rounded to ``bits`` significant bits; return the column and its unit."""
        from una_bench.record import columns

        numbers, unit = columns.of_floats(columns.rounded(values, bits))
        return self.add(numbers), unit


def pack(curves: Sequence[Curve], steps: StepSamples) -> str:
    """Return the text of curves and steps; empty without any."""
    import numpy as np

    from una_bench.record import columns

    if not curves and steps == StepSamples():
        return ""
    stored = _Columns()
    described = []
    for curve in curves:
        y = np.array(curve.y, np.float64)
        x = stored.add_floats(np.array(curve.x, np.float64), columns.SIGNIFICAND)
        described.append(
            [curve.metric, curve.unit, curve.better, curve.x_unit, *x, *stored.add_floats(y, _bits(curve, y))]
        )
    head: dict[str, Any] = {"curves": described, "steps": _packed_steps(steps, stored)}
    head["columns"], planes = columns.encode(stored.numbers)
    content = json.dumps(head, separators=(",", ":")).encode() + b"\n" + planes
    text = base64.b85encode(lzma.compress(content, lzma.FORMAT_RAW, filters=FILTERS)).decode()
    return f"{zlib.crc32(text.encode()):08x}{text}"


def _bits(curve: Curve, y: Floats) -> int:
    """Return the significant bits that a curve keeps."""
    import numpy as np

    from una_bench.record.columns import SIGNIFICAND

    finite = y[np.isfinite(y)]
    span = float(np.ptp(finite)) if len(finite) else 0.0
    if curve.metric in EXACT or curve.better is not Better.NEITHER or not 0 < span < math.inf:
        return SIGNIFICAND
    bits = RANGE_BITS + math.ceil(math.log2(float(np.abs(finite).max())) - math.log2(span))
    return min(SIGNIFICAND, max(LEAST_BITS, bits))


def _packed_steps(steps: StepSamples, stored: _Columns) -> dict[str, Any]:
    """Return where the columns of ``steps`` are stored, with what stands in for those that others nearly give."""
    import numpy as np

    head: dict[str, Any] = {"warmup": steps.warmup}
    for name in COUNTS:
        head[name] = stored.add(np.array(getattr(steps, name), np.int64))
    padding = np.array(steps.padding_tokens, np.int64)
    alike = len(padding) == len(steps.response_tokens)
    # Batches of one width have the same sum.
    head["cells" if alike else "padding_tokens"] = stored.add(padding + steps.response_tokens if alike else padding)
    times = [np.array(t, np.float64) for t in (steps.seconds, steps.cpu_seconds, steps.queued_seconds)]
    if not all(np.all((t >= 0) & (t < LONGEST_SECONDS)) for t in times) or len(times[0]) != len(times[1]):
        from una_bench.record.columns import SIGNIFICAND

        return {**head, "times": [stored.add_floats(t, SIGNIFICAND) for t in times]}
    rate = _ticks_per_second(times[0])
    seconds, cpu, queued = times
    # Most of a step is CPU time, so what is left of it is small.
    whole = [
        np.round(v).astype(np.int64)
        for v in (seconds * rate, (seconds - cpu) * (rate / COARSE), queued * (rate / COARSE))
    ]
    return {**head, "rate": rate, "ticks": [stored.add(w) for w in whole]}


def _ticks_per_second(seconds: Floats) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, ... ticks per second that divide a median step into `PER_STEP`."""
    import numpy as np

    median = float(np.median(seconds)) if len(seconds) else 0.0
    return next((m * 10**k for k in range(9) for m in (1, 2, 5) if m * 10**k * median >= PER_STEP), 10**9)


def unpack(text: str) -> tuple[tuple[Curve, ...], StepSamples]:
    """Return curves and steps of a text of `pack`; `ValueError` if it is none."""
    from una_bench.record import columns

    if not text:
        return (), StepSamples()
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS)
        content = decompressor.decompress(columns.from_base85(text[8:]), MOST_BYTES)
        line, _, planes = content.partition(b"\n")
        return _unpacked(json.loads(line), planes)
    except (ValueError, lzma.LZMAError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"curves and steps cannot be unpacked ({error})") from None


def _unpacked(head: dict[str, Any], planes: bytes) -> tuple[tuple[Curve, ...], StepSamples]:
    from una_bench.record import columns

    numbers = columns.decode(head["columns"], planes)

    @cache
    def floats(at: int, unit: int | None) -> tuple[float, ...]:  # most curves share their points
        return tuple(columns.to_floats(numbers[at], unit).tolist())

    curves = tuple(
        Curve.model_construct(
            metric=metric, unit=unit, better=Better(better), x_unit=x_unit, x=floats(*x), y=floats(*y)
        )
        for metric, unit, better, x_unit, *places in head["curves"]
        for x, y in [(places[:2], places[2:])]
    )
    steps = head["steps"]
    samples: dict[str, Any] = {name: tuple(numbers[steps[name]].tolist()) for name in COUNTS}
    padding = (
        numbers[steps["cells"]] - numbers[steps["response_tokens"]]
        if "cells" in steps
        else numbers[steps["padding_tokens"]]
    )
    if "times" in steps:
        times = [floats(*place) for place in steps["times"]]
    else:
        seconds, beside, queued = (numbers[at] for at in steps["ticks"])
        ticks = (seconds, seconds - COARSE * beside, COARSE * queued)
        times = [tuple((t / steps["rate"]).tolist()) for t in ticks]
    samples |= dict(zip(("seconds", "cpu_seconds", "queued_seconds"), times, strict=True))
    return curves, StepSamples.model_construct(
        **samples, padding_tokens=tuple(padding.tolist()), warmup=steps["warmup"]
    )
