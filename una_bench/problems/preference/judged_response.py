"""A response with its judgment, the common form of all data sets."""

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
"""Largest value of HelpSteer2's attributes; the smallest is 0."""
Messages = tuple[tuple[str, str], ...]
"""(role, content) of each message before the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A response and its judgment."""

    messages: Messages
    response: str
    raw: float
    """Score given by the judge, or weighted sum of attributes."""
    score: float
    """``raw`` scaled to [0, 1]."""
    side: bool | None = None
    """Whether preferred or desirable, if the data has labels."""
    together: int | None = None
    """Number of the pair, if the data has pairs."""


class ScoreError(ValueError):
    """A judgment is missing or outside its range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Conversion of judgments to scores."""

    weights: Mapping[str, float]
    """Weight of each attribute."""
    score_range: tuple[float, float] | None = None
    """Judgments that map to 0 and 1; None: the range of the layout."""
    turns: str = "split"
    """``split``: split a multi-turn prompt into messages; ``one``: keep it as one user message."""

    def weighted(self, attributes: Mapping[str, Any]) -> tuple[float, float]:
        """Return the weighted sum of attributes (each 0 to 4 unless a range is set), raw and as a score."""
        low, high = self.score_range or (0.0, HELPSTEER_MOST)
        values = {name: number(attributes.get(name)) for name in self.weights}
        for value in values.values():
            in_range(value, low, high)
        total = math.fsum(self.weights.values())
        raw = math.fsum(weight * values[name] for name, weight in self.weights.items())
        return raw, min(1.0, max(0.0, (raw - low * total) / ((high - low) * total)))

    def scaled(self, value: Any, usual: tuple[float, float]) -> tuple[float, float]:
        """Return a judgment, raw and as a score; ``usual`` is the range of the layout."""
        low, high = self.score_range or usual
        raw = number(value)
        in_range(raw, low, high)
        return raw, (raw - low) / (high - low)


def number(value: Any) -> float:
    """Return a judgment as a finite number, or raise `ScoreError`."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise ScoreError from None
    if not math.isfinite(result):
        raise ScoreError
    return result


def in_range(value: float, low: float, high: float) -> None:
    """Raise `ScoreError` if a judgment is outside its range."""
    if not low <= value <= high:
        raise ScoreError


def conversation(value: Any, where: str) -> Messages:
    """Return a prompt, which is text or a list of messages, as messages; raise `UserError` otherwise."""
    if isinstance(value, str):
        return (("user", value),) if value.strip() else ()
    if isinstance(value, list | tuple) and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in value):
        return tuple((str(m["role"]), str(m["content"])) for m in value)
    raise UserError(f"{where} is {type(value).__name__}; it must be text or a list of messages (role, content).")


def answer(value: Any, where: str) -> str:
    """Return a response as text; a list of messages ends with the response."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    messages = conversation(value, where)
    return messages[-1][1] if messages else ""


def key(messages: Messages) -> str:
    """Return the identity of a prompt."""
    return json.dumps(messages, ensure_ascii=False)
