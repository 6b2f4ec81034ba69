"""Built-in reward functions, ``(prompts, completions) -> floats``, each with its bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from una_bench.errors import UserError

Function = Callable[[Sequence[Any], Sequence[str]], Sequence[float]]
WORDS = 50
"""Words of a completion that the reward ``length`` counts at most."""
BOX = re.compile(r"\\boxed\{\s*[^\s{}][^{}]*\}")


def bounded(lowest: float, highest: float) -> Callable[[Function], Function]:
    """Decorate a reward function with the least and the largest value that it may return; others are refused."""

    def mark(function: Function) -> Function:
        function.lowest, function.highest = lowest, highest  # type: ignore[attr-defined]
        return function

    return mark


@bounded(-1.0, 1.0)
def sentiment(prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
    """Return VADER's compound score of each prompt with its completion (Hutto & Gilbert 2014), in [−1, 1]."""
    score = _vader().polarity_scores
    texts = (f"{p}{c}" if isinstance(p, str) else c for p, c in zip(prompts, completions, strict=True))
    return [float(score(text)["compound"]) for text in texts]


@cache
def _vader() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        raise UserError("The reward sentiment needs vaderSentiment: pip install vaderSentiment.") from None
    return SentimentIntensityAnalyzer()


@bounded(0.0, 1.0)
def length(prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
    """Return the words of each completion, as a share of `WORDS`, at most 1."""
    return [min(len(text.split()), WORDS) / WORDS for text in completions]


@bounded(0.0, 1.0)
def valid_json(prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
    """Return 1 for each completion that is a JSON object or list and nothing else, 0 for others."""
    return [float(_is_json(text)) for text in completions]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


@bounded(0.0, 1.0)
def boxed(prompts: Sequence[Any], completions: Sequence[str]) -> list[float]:
    r"""Return 1 for each completion with an answer in a box, ``\boxed{42}``, 0 for others."""
    return [float(bool(BOX.search(text))) for text in completions]


BUILT_IN: dict[str, Function] = {f.__name__: f for f in (sentiment, length, valid_json, boxed)}
