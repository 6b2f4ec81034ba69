"""Distance of a policy to the estimated optimum, from its samples, with standard errors over prompts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from una_bench.problems.exact.optimum import Floats
from una_bench.problems.generated.bounds import Optimum


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean over prompts."""

    value: float
    error: float
    """Standard error: prompts and samples, and the width of the bounds where the optimum enters."""
    by_prompt: Floats
    """Parts whose mean is ``value``, (P,)."""


def adjusted(values_PK: Floats, centered_PK: Floats) -> Floats:
    """Return values less their regression on ``centered_PK``, whose expectation is 0: the same mean, less variance."""
    noise = centered_PK - centered_PK.mean(1, keepdims=True)
    power = float((noise**2).sum())
    slope = float((noise * values_PK).sum()) / power if power > 0 else 0.0
    result: Floats = values_PK - slope * centered_PK
    return result


def judge(reward_PK: Floats, log_ratio_PK: Floats, kl_PK: Floats, by: Optimum) -> dict[str, Figure]:
    """Return the figures of a policy from K samples to each of P prompts.

    ``log_ratio_PK`` is log π − log π_ref of each sample, ``kl_PK`` its exact KL along the visited prefixes. Their
    difference has expectation 0, and at the optimum it explains all of the reward but for the visited prefixes; rewards
    and KLs are therefore adjusted by regression on it.
    """
    zero_PK = log_ratio_PK - kl_PK
    return figures(adjusted(reward_PK, zero_PK).mean(1), adjusted(kl_PK, zero_PK).mean(1), by)


def of_reference(by: Optimum) -> dict[str, Figure]:
    """Return the figures of the reference itself, from the samples of the optimum."""
    return figures(by.reference, np.zeros(len(by.reference)), by)


def figures(reward_P: Floats, kl_P: Floats, by: Optimum) -> dict[str, Figure]:
    """Return every figure from reward and KL of each prompt; those of an unresolved optimum are missing."""
    objective = reward_P - by.beta * kl_P
    made = {"objective": _mean(objective), "kl_ref": _mean(kl_P), "reward": _mean(reward_P)}
    if by.unresolved:
        return made
    lost_P, room = by.objective - objective, by.room
    regret = float(lost_P.mean()) / room
    # Delta method for a ratio of means; the width of the bounds counts as uniform.
    over_prompts = _error(lost_P - regret * (by.objective - by.reference)) / room
    of_width = abs(1 - regret) * abs(by.width) / math.sqrt(12) / room
    made["regret"] = Figure(value=regret, error=math.hypot(over_prompts, of_width), by_prompt=lost_P / room)
    gap_P = by.frontier.reward_at(float(kl_P.mean())) - reward_P
    made["frontier_gap"] = _mean(gap_P)
    made["regret_direction"] = _mean(gap_P / room)
    made["regret_strength"] = _mean((lost_P - gap_P) / room)
    made["kl_optimum"] = _mean(lost_P / by.beta)
    return made


def _mean(values_P: Floats) -> Figure:
    return Figure(value=float(values_P.mean()), error=_error(values_P), by_prompt=values_P)


def _error(values_P: Floats) -> float:
    return float(values_P.std(ddof=1)) / math.sqrt(len(values_P)) if len(values_P) > 1 else math.nan
