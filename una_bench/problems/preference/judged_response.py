"""One response with its judgment: the form that every kind of data set is brought into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.conversations import Messages

HELPSTEER_WEIGHTS = {"helpfulness": 0.65, "correctness": 0.8, "coherence": 0.45}
"""UNA (arXiv:2408.15339) section 3; complexity and verbosity are not used."""
HELPSTEER_RANGE = (0.0, 4.0)
"""Range of HelpSteer2's attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A response and its judgment."""

    messages: Messages
    """The prompt."""
    completion: Messages
    """The response: messages that begin and end with the assistant's."""
    tools: tuple[Any, ...] = ()
    """What the chat template may offer to call."""
    raw: float = math.nan
    """As judged, or as the attributes weigh; more is better. Not a number: the data does not say."""
    score: float = math.nan
    """The same in [0, 1]; not a number: the data has no scores."""
    label: bool | None = None
    """Desirable or not, where the data says so itself."""
    side: bool | None = None
    """Whether it is the preferred one of its pair, where the data has pairs."""
    together: int | None = None
    """Number of the pair, where the data has pairs."""
    row: int = 0
    """Row of the data, counted from 0."""

    @property
    def response(self) -> str:
        """Words of the response, without speakers."""
        return "\n".join(message["content"] for message in self.completion)


MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "-"})
"""Texts (in lower case) that mean that a judgment is missing."""


class ScoreError(ValueError):
    """A judgment is missing."""


class ScaleError(ValueError):
    """A score is outside its scale, or its scale is not known (None)."""

    def __init__(self, column: str, value: float, scale: tuple[float, float] | None) -> None:
        super().__init__(column)
        self.column, self.value, self.scale = column, value, scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How judgments become scores, decided once for a file."""

    weights: Mapping[str, float]
    """Weight of each attribute, where responses are judged by attributes."""
    score_range: tuple[float, float] | None = None
    """What counts as 0 and as 1; None: what the layout is known for."""
    turns: str = "split"
    """``split``: a HelpSteer2 prompt of several turns becomes messages; ``one``: it stays one message of the user."""

    def weighted(self, attributes: Mapping[str, Any]) -> tuple[float, float]:
        """Return the weighted sum of attributes (each 0 to 4 unless a range is set), and the score it means."""
        low, high = scale = self.score_range or HELPSTEER_RANGE
        values = {name: number(attributes.get(name), name) for name in self.weights}
        for name, value in values.items():
            if not low <= value <= high:
                raise ScaleError(name, value, scale)
        total = math.fsum(self.weights.values())
        raw = math.fsum(weight * values[name] for name, weight in self.weights.items())
        return raw, min(1.0, max(0.0, (raw - low * total) / ((high - low) * total)))

    def scaled(self, value: Any, usual: tuple[float, float] | None, column: str) -> tuple[float, float]:
        """Return a judgment and the score it means; ``usual`` is the scale that the layout is known for.

        Raises:
            ScoreError: There is none.
            UserError: It is no finite number.
            ScaleError: It is outside the scale, or there is no scale.
        """
        raw, scale = number(value, column), self.score_range or usual
        if scale is None or not scale[0] <= raw <= scale[1]:
            raise ScaleError(column, raw, scale)
        return raw, (raw - scale[0]) / (scale[1] - scale[0])


def number(value: Any, column: str) -> float:
    """Return a judgment as a number.

    Raises:
        ScoreError: It is missing.
        UserError: It is no finite number.
    """
    if missing(value):
        raise ScoreError
    try:
        as_number = float(value)
    except (TypeError, ValueError):
        as_number = math.inf
    if not math.isfinite(as_number):
        raise UserError(f"column {column} holds {value!r:.60}; a number is needed, as 0.8, or nothing.")
    return as_number


def missing(value: Any) -> bool:
    """Whether a cell holds no judgment."""
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in MISSING)
