"""What is best: the optimal policy, the frontier of reward against KL, and how far another policy is from them.

For J(π) = E_π[r] − β·KL(π‖π_ref) the optimum is π* = π_ref·e^{r/β}/Z with J* = β·E_x log Z(x), so the
normalised regret, (J* − J(π)) / (J* − J(π_ref)) = KL(π‖π*) / KL(π_ref‖π*), is exact: 0 the optimum, 1 the reference.
All tables have the shape (prompts, responses); logarithms are natural; everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def log_normaliser(logp_reference: Floats, reward: Floats, beta: float) -> Floats:
    """Log Z(x) of π_ref·e^{r/β}, (prompts,)."""
    exponent = logp_reference + reward / beta
    top = exponent.max(1, keepdims=True)
    result: Floats = (top + np.log(np.exp(exponent - top).sum(1, keepdims=True)))[:, 0]
    return result


def tilted(logp_reference: Floats, reward: Floats, beta: float) -> Floats:
    """Log-probabilities of the optimal policy at strength ``beta``."""
    return logp_reference + reward / beta - log_normaliser(logp_reference, reward, beta)[:, None]


def divergence(logp: Floats, logq: Floats) -> Floats:
    """KL(p‖q) of each prompt, nats, (prompts,); a response of probability 0 under p adds 0."""
    p = np.exp(logp)
    with np.errstate(invalid="ignore"):
        terms = np.where(p > 0, p * (logp - logq), 0.0)
    result: Floats = terms.sum(1)
    return result


def expected(logp: Floats, reward: Floats) -> Floats:
    """E[r] of each prompt, (prompts,)."""
    result: Floats = (np.exp(logp) * reward).sum(1)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The most reward that a mean KL can buy: π_ref·e^{r/b}/Z over temperatures b, means over one prompt set."""

    temperature: Floats
    """b, from large (the reference) to small (the most rewarded response)."""
    kl: Floats
    """Mean KL to the reference, nats, rising."""
    reward: Floats
    """Mean reward, rising."""

    def reward_at(self, kl: float) -> float:
        """Reward of the frontier at a mean KL; beyond its end, that of its end."""
        return float(np.interp(kl, self.kl, self.reward))

    def temperature_at(self, kl: float) -> float:
        """Temperature b at which the frontier has this KL: the policy's effective strength (compare with β)."""
        return float(np.exp(np.interp(kl, self.kl, np.log(self.temperature))))


def frontier(logp_reference: Floats, reward: Floats, points: int = 400) -> Frontier:
    """Trace the frontier at ``points`` temperatures from 100 to 0.01 (dense: between them it is interpolated)."""
    temperature = np.geomspace(100.0, 0.01, points)
    kl, mean = np.empty(points), np.empty(points)
    for i, b in enumerate(temperature):
        logp = tilted(logp_reference, reward, b)
        kl[i], mean[i] = divergence(logp, logp_reference).mean(), expected(logp, reward).mean()
    return Frontier(temperature=temperature, kl=kl, reward=mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What the policies on one prompt set are measured against; made once."""

    logp_reference: Floats
    reward: Floats
    beta: float
    logp_optimum: Floats
    objective_optimum: Floats
    """J* of each prompt, (prompts,)."""
    objective_reference: Floats
    """J(π_ref) = E_ref[r] of each prompt, (prompts,)."""
    frontier: Frontier


def standard(logp_reference: Floats, reward: Floats, beta: float, curve: Frontier | None = None) -> Standard:
    """Work out the optimum of one prompt set; ``curve`` is its frontier, where that is known already."""
    return Standard(
        logp_reference=logp_reference,
        reward=reward,
        beta=beta,
        logp_optimum=tilted(logp_reference, reward, beta),
        objective_optimum=beta * log_normaliser(logp_reference, reward, beta),
        objective_reference=expected(logp_reference, reward),
        frontier=curve or frontier(logp_reference, reward),
    )


def judge(logp: Floats, by: Standard) -> dict[str, float]:
    """Measure a policy exactly; means over the prompt set unless the name says otherwise.

    ``regret`` is the sum of ``regret_direction`` (reward missed at the same KL: the frontier gap) and
    ``regret_strength`` (the frontier at this KL in place of the best KL), both in units of J* − J(π_ref).
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
