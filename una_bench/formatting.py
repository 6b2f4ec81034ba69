"""How numbers and strings from records look: units a person reads, honest digits, no control characters."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MINUS = "−"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SECONDS = ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (600.0, 1.0, "s"), (36000.0, 60.0, "min"))


def clean(text: object) -> str:
    """Return ``text`` on one line with control and format characters spelled out, so that none reaches a terminal."""
    text = str(text)
    if text.isprintable():
        return text.strip()
    out = []
    for char in text:
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            code = ord(char)
            out.append(" " if char in "\n\t\r" else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
        else:
            out.append(char)
    return "".join(out).strip()


def no_formula(value: object) -> object:
    """Keep spreadsheets from running a label as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit that a person reads: a shown number is the base number divided by ``factor``."""

    factor: float
    unit: str


def scale(unit: str, values: Iterable[float]) -> Scale:
    """Choose one scale for a column in the base unit ``unit`` by its largest value."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if unit == "B":
        power = min(len(_BINARY) - 1, int(math.log(largest, 1024))) if largest >= 1 else 0
        return Scale(1024.0**power, _BINARY[power])
    if unit == "s":
        return next((Scale(f, name) for limit, f, name in _SECONDS if largest < limit), Scale(3600.0, "h"))
    if unit.startswith("FLOP"):
        return next((Scale(f, p + unit) for f, p in _PREFIXES if largest >= f), Scale(1.0, unit))
    if unit.endswith("/s") and largest >= 1e5:
        return Scale(1e3, f"×10³ {unit}")
    return Scale(1.0, "" if unit == "1" else clean(unit))


def places(means: Sequence[float], halves: Sequence[float | None]) -> int:
    """Decimal places of a column: two digits of the middle interval, else three digits of the largest mean."""
    positive = sorted(h for h in halves if h is not None and h > 0 and math.isfinite(h))
    largest = max((abs(m) for m in means if math.isfinite(m)), default=0.0)
    leading = math.floor(math.log10(largest)) if largest > 0 else 0
    wanted = 1 - math.floor(math.log10(positive[len(positive) // 2])) if positive else 3
    return max(0, min(wanted, 3 - max(leading, 0), 4 if leading >= -1 else 2 - leading))


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """Format with a real minus sign."""
    if not math.isfinite(value):
        return "not finite"
    rounded = round(value, decimals) or 0.0  # no minus before a zero
    text = f"{rounded:+.{decimals}f}" if sign and rounded else f"{rounded:.{decimals}f}"
    return text.replace("-", MINUS)


def half(value: float, decimals: int) -> str:
    """Format the half-width of an interval: never rounded down to zero."""
    if not math.isfinite(value):
        return "∞"
    if value > 0 and round(value, decimals) == 0:
        return f"<{10.0**-decimals:.{decimals}f}"
    return f"{value:.{decimals}f}" if value else "0"


def short(value: float) -> str:
    """Format one number alone, to three significant digits."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return number(value, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.2e}".replace("-", MINUS)


def quantity(value: float, unit: str) -> str:
    """Format one number with its unit."""
    chosen = scale(unit, [value])
    return f"{short(value / chosen.factor)} {chosen.unit}".strip()
