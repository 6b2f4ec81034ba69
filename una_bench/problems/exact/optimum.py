"""Optimal policy, frontier of reward against KL, and the distance of other policies from them.

For J(π) = E_π[r] − β·KL(π‖π_ref) the optimum is π* = π_ref·e^{r/β}/Z with J* = β·E_x log Z(x), so the
normalized regret, (J* − J(π)) / (J* − J(π_ref)) = KL(π‖π*) / KL(π_ref‖π*), is exact: 0 the optimum, 1 the reference.
All tables have the shape (prompts, responses); logarithms are natural; everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_normalizer(logp_reference: Floats, reward: Floats, beta: float) -> Floats:
    """Return log Z(x) of π_ref·e^{r/β}, (prompts,)."""
    exponent = logp_reference + reward / beta
    top = exponent.max(1, keepdims=True)
    result: Floats = (top + np.log(np.exp(exponent - top).sum(1, keepdims=True)))[:, 0]
    return result


def tilted(logp_reference: Floats, reward: Floats, beta: float) -> Floats:
    """Return the log-probabilities of the optimal policy at ``beta``."""
    return logp_reference + reward / beta - log_normalizer(logp_reference, reward, beta)[:, None]


def divergence(logp: Floats, logq: Floats) -> Floats:
    """Return KL(p‖q) of each prompt, nats, (prompts,); a response of probability 0 under p adds 0."""
    p = np.exp(logp)
    with np.errstate(invalid="ignore"):
        terms = np.where(p == 0, 0.0, p * (logp - logq))
    result: Floats = terms.sum(1)
    return result


def expected(logp: Floats, reward: Floats) -> Floats:
    """Return E[r] of each prompt, (prompts,)."""
    result: Floats = (np.exp(logp) * reward).sum(1)
    return result


@dataclass(frozen=True, slots=True)
class Frontier:
    """Largest mean reward at each mean KL: π_ref·e^{r/b}/Z over temperatures b, means over one prompt set.

    Near the reference both 1/b and the reward grow as the square root of KL, so interpolation is over that.
    """

    inverse_temperature: Floats
    """1/b, increasing from 0 (the reference)."""
    kl: Floats
    """Mean KL to the reference, nats, increasing from 0."""
    reward: Floats
    """Mean reward, increasing."""

    def reward_at(self, kl: float) -> float:
        """Return the reward of the frontier at a mean KL; beyond its end, the last value."""
        return self._at(kl, self.reward)

    def temperature_at(self, kl: float) -> float:
        """Return the temperature b at which the frontier has this KL (∞ at the reference): the effective beta."""
        inverse = self._at(kl, self.inverse_temperature)
        return 1 / inverse if inverse else float("inf")

    def _at(self, kl: float, values: Floats) -> float:
        """Interpolate at a KL that may be slightly negative by rounding."""
        return float(np.interp(math.sqrt(max(kl, 0.0)), np.sqrt(self.kl), values))


def frontier(logp_reference: Floats, reward: Floats, points: int = 200) -> Frontier:
    """Trace the frontier at the reference itself and at ``points`` temperatures from 100 down to 0.01."""
    inverse = np.concatenate([[0.0], np.geomspace(0.01, 100.0, points)])
    kl, mean = np.zeros(points + 1), np.empty(points + 1)
    mean[0] = expected(logp_reference, reward).mean()
    for i, strength in enumerate(inverse[1:], start=1):
        logp = tilted(logp_reference, reward, 1 / strength)
        kl[i], mean[i] = divergence(logp, logp_reference).mean(), expected(logp, reward).mean()
    return Frontier(inverse_temperature=inverse, kl=kl, reward=mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Optimum and frontier of one prompt set, computed once."""

    logp_reference: Floats
    reward: Floats
    beta: float
    logp_optimum: Floats
    objective_optimum: Floats
    """J* of each prompt, (prompts,)."""
    objective_reference: Floats
    """J(π_ref) = E_ref[r] of each prompt, (prompts,)."""
    frontier: Frontier


def standard(logp_reference: Floats, reward: Floats, beta: float, curve: Frontier) -> Standard:
    """Compute the optimum of one prompt set; ``curve`` is its frontier."""
    return Standard(
        logp_reference=logp_reference,
        reward=reward,
        beta=beta,
        logp_optimum=tilted(logp_reference, reward, beta),
        objective_optimum=beta * log_normalizer(logp_reference, reward, beta),
        objective_reference=expected(logp_reference, reward),
        frontier=curve,
    )


def judge(logp: Floats, by: Standard) -> dict[str, float]:
    """Measure a policy exactly; means over the prompt set unless the name says otherwise.

    ``regret`` is the sum of ``regret_direction`` (frontier gap: reward lost at the same KL) and ``regret_strength``
    (loss of the frontier at this KL against the best KL), both in units of J* − J(π_ref).
    """
    reward, kl = expected(logp, by.reward), divergence(logp, by.logp_reference)
    objective = reward - by.beta * kl
    room = (by.objective_optimum - by.objective_reference).mean()
    gap = by.frontier.reward_at(kl.mean()) - reward.mean()
    regret = (by.objective_optimum - objective).mean() / room
    each = (by.objective_optimum - objective) / (by.objective_optimum - by.objective_reference)
    figures = {
        "objective": objective.mean(),
        "regret": regret,
        "regret_median": np.median(each),
        "regret_direction": gap / room,
        "regret_strength": regret - gap / room,
        "kl_optimum": divergence(logp, by.logp_optimum).mean(),
        "kl_ref": kl.mean(),
        "reward": reward.mean(),
        "frontier_gap": gap,
        "temperature": by.frontier.temperature_at(kl.mean()),
    }
    return {name: float(value) for name, value in figures.items()}
