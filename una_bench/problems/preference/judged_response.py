"""One response with what a judge said of it: the form that every kind of data set is brought into."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError

HELPSTEER_WEIGHTS = {"helpfulness": 0.65, "correctness": 0.8, "coherence": 0.45}
"""UNA (arXiv:2408.15339) section 3; complexity and verbosity are not used."""
HELPSTEER_MOST = 4.0
"""Attributes of HelpSteer2 are 0 to 4."""
Messages = tuple[tuple[str, str], ...]
"""(role, content) of each message before the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A response and its judgment."""

    messages: Messages
    response: str
    raw: float
    """As the judge gave it, or as the attributes weigh."""
    score: float
    """The same in [0, 1]."""
    side: bool | None = None
    """Preferred or desirable, where the data says so itself."""
    together: int | None = None
    """Number of the pair, where the data has pairs."""


class ScoreError(ValueError):
    """A judgment is missing or outside its range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How judgments become scores."""

    weights: Mapping[str, float]
    """Weight of each attribute, where responses are judged by attributes."""
    score_range: tuple[float, float] | None = None
    """What counts as 0 and as 1; None: what the format is known for."""
    turns: str = "split"
    """``split``: a prompt of several turns becomes messages; ``one``: it stays one message of the user, as it is."""

    def weighted(self, attributes: Mapping[str, Any]) -> tuple[float, float]:
        """Return the weighted sum of attributes (each 0 to 4 unless a range is set), and the score it means."""
        low, high = self.score_range or (0.0, HELPSTEER_MOST)
        values = {name: number(attributes.get(name)) for name in self.weights}
        for value in values.values():
            in_range(value, low, high)
        total = math.fsum(self.weights.values())
        raw = math.fsum(weight * values[name] for name, weight in self.weights.items())
        return raw, min(1.0, max(0.0, (raw - low * total) / ((high - low) * total)))

    def scaled(self, value: Any, usual: tuple[float, float]) -> tuple[float, float]:
        """Return a judgment and the score it means; ``usual`` is the range that the format is known for."""
        low, high = self.score_range or usual
        raw = number(value)
        in_range(raw, low, high)
        return raw, (raw - low) / (high - low)


def number(value: Any) -> float:
    """Return a judgment as a number.

    Raises:
        ScoreError: It is missing or no finite number.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ScoreError from None
    if not math.isfinite(found):
        raise ScoreError
    return found


def in_range(value: float, low: float, high: float) -> None:
    """Refuse a judgment outside its range.

    Raises:
        ScoreError: It is outside.
    """
    if not low <= value <= high:
        raise ScoreError


def conversation(value: Any, where: str) -> Messages:
    """Return a prompt, text or list of messages, as messages.

    Raises:
        UserError: It is neither.
    """
    if isinstance(value, str):
        return (("user", value),) if value.strip() else ()
    if isinstance(value, list | tuple) and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in value):
        return tuple((str(m["role"]), str(m["content"])) for m in value)
    raise UserError(f"{where} holds {type(value).__name__}; text or a list of messages (role, content) is needed.")


def answer(value: Any, where: str) -> str:
    """Return a response, text or a list that ends in the assistant's message, as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    messages = conversation(value, where)
    return messages[-1][1] if messages else ""


def key(messages: Messages) -> str:
    """Return what makes two prompts the same."""
    return json.dumps(messages, ensure_ascii=False)
