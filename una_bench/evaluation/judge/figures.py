"""Figures of verdicts: win rates, raw and length-controlled, the judge's position bias, and agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.evaluation.judge.comparison import Compared

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 200
"""Resamples of prompts behind a standard error: enough for a tenth of its size."""
PENALTY = 100.0
"""C of the regression, as in alpaca_eval: next to none, but all wins still have a finite coefficient."""


def mean_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error over prompts."""
    return fmean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def length_controlled(scores: Sequence[float], lengths: Sequence[tuple[int, int]]) -> tuple[float, float | None]:
    """Return the win rate at equal lengths, with a standard error from resampled prompts.

    The regression is that of Dubois et al. 2024 (arXiv:2404.04475) without the difficulty of instructions, which they
    fitted on other models' answers to their prompts: logit P(win) = θ + φ tanh(Δ/sd(Δ)), Δ the difference in
    characters; the result is sigmoid(θ). alpaca_eval calls it ``length_controlled_minimal``.
    """
    y, difference = np.array(scores), np.array([ours - theirs for ours, theirs in lengths], dtype=float)
    if (y == 0.5).all():
        return 0.5, 0.0
    rng = np.random.default_rng(0)
    draws = rng.integers(len(y), size=(RESAMPLES, len(y)))
    resampled = [_at_equal_lengths(y[draw], difference[draw]) for draw in draws]
    return _at_equal_lengths(y, difference), stdev(resampled) if len(y) > 1 else None


def _at_equal_lengths(y: NDArray[Any], difference: NDArray[Any]) -> float:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    control = np.tanh(difference / spread) if spread > 0 else np.zeros_like(difference)
    features = np.column_stack([np.ones_like(control), control])
    # Each prompt counts as a win with weight y and as a loss with weight 1 − y.
    twice, labels = np.vstack([features, features]), np.repeat([1, 0], len(y))
    model = LogisticRegression(C=PENALTY, fit_intercept=False)
    model.fit(twice, labels, sample_weight=np.concatenate([y, 1 - y]))
    return float(1 / (1 + math.exp(-model.coef_[0][0])))


def position_bias(compared: Sequence[Compared]) -> tuple[list[float], int, int]:
    """Return for each prompt the share of repetitions whose two orders give different verdicts.

    Also in how many cases the answer in the first and in the second place was preferred in both orders.
    """
    shares, first, second = [], 0, 0
    for one in compared:
        read = [(a, b) for a, b in one.points if a is not None and b is not None] if not one.same else []
        if read:
            shares.append(fmean(float(a != b) for a, b in read))
            first += sum(a == 1 and b == 0 for a, b in read)
            second += sum(a == 0 and b == 1 for a, b in read)
    return shares, first, second


def points(compared: Sequence[Compared], repeat: int) -> list[float | None]:
    """Return the points of one repetition, both orders of each prompt whose answers differ."""
    return [point for one in compared if not one.same for point in one.points[repeat]]


def kappa(ours: Sequence[float | None], theirs: Sequence[float | None]) -> tuple[float | None, int]:
    """Return Cohen's κ of two series of verdicts and how many both could be read; None: undefined.

    It is undefined where both give one and the same verdict throughout, as chance agreement is then complete.
    """
    from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]

    read = [(str(a), str(b)) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if len({verdict for pair in read for verdict in pair}) < 2:
        return None, len(read)
    return float(cohen_kappa_score([a for a, _ in read], [b for _, b in read])), len(read)


def bounds(compared: Sequence[Compared]) -> tuple[float, float]:
    """Return the win rates if every verdict that could not be read were a loss, and a win."""
    filled = [[p for pair in one.points for p in pair] for one in compared]
    low, high = (fmean(fmean(other if p is None else p for p in ps) for ps in filled) for other in (0.0, 1.0))
    return low, high
