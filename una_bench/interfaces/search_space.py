"""Range of a setting that tuning searches, on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

EDGE = 0.1
"""Share of a range at either end that counts as its edge: a better value may lie outside."""
DIGITS = 3
"""Significant digits of a drawn value, so that records and commands show it whole."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values between two ends, both above 0, uniform on a log scale."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Require ends above 0 in order."""
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"[{self.low:g}, {self.high:g}] is no range: give two numbers above 0, the lower first")

    def at(self, quantile: float) -> float:
        """Return the value at a quantile in [0, 1], rounded to `DIGITS`."""
        value = math.exp(math.log(self.low) + quantile * (math.log(self.high) - math.log(self.low)))
        return float(f"{value:.{DIGITS}g}")

    def at_edge(self, value: float) -> bool:
        """Return whether a value lies within `EDGE` of either end, on the log scale."""
        share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return not EDGE <= share <= 1 - EDGE


@dataclass(frozen=True, slots=True)
class Times:
    """Range in units of the suite's value, as the right size of a learning rate depends on the model."""

    low: float
    high: float

    def around(self, value: float) -> Range:
        """Return the range around a value above 0."""
        return Range(float(f"{value * self.low:.{DIGITS}g}"), float(f"{value * self.high:.{DIGITS}g}"))


DECADE = Times(0.1, 10)
"""A factor of ten either way."""
