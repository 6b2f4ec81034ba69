"""The optimum of a bounded reward, estimated from samples of the reference, with bounds on both sides.

For J(π) = E_π[r] − β·KL(π‖π_ref) the optimum is π*(y|x) = π_ref(y|x)·e^{r/β}/Z(x) with J* = β·E_x log Z(x). From n
samples of π_ref to a prompt:

* **below**: log of the mean weight e^{r/β}; by Jensen its expectation is below log Z;
* **above**: a sample accepted with probability e^{(r − r_max)/β} is an exact sample of π*; the log of the mean weight
  over one of these and m − 1 independent samples of π_ref has an expectation above log Z, because its reciprocal is
  unbiased for 1/Z under that law (bidirectional Monte Carlo, Grosse et al. 2015, arXiv:1511.02543; Zhao et al. 2024,
  arXiv:2404.17546).

The first half of a prompt's samples are the m of the upper bound, the second half and later ones are offered for
acceptance, so that both are independent. Arrays are (P prompts, n samples), float64; logarithms are natural.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from una_bench.problems.exact.optimum import Floats, Frontier

FILE = "optimum.npz"
LEAST_EFFECTIVE = 5.0
"""Effective samples of a prompt below which its optimum is not resolved: the estimate hangs on one or two of them."""
BEST_OF = (2, 4, 8, 16, 32, 64)
POINTS = 60
"""Temperatures of the frontier."""
Z95 = 1.96
RESAMPLES = 40
"""Resamples behind the band of the frontier."""
SPLITS = ("train", "heldout", "validation")


def log_mean_exp(values: Floats) -> Floats:
    """Return the log of the mean of exponentials over the last axis."""
    top = values.max(-1, keepdims=True)
    result: Floats = top[..., 0] + np.log(np.exp(values - top).mean(-1))
    return result


def lower(reward_PN: Floats, beta: float) -> Floats:
    """Return the bound below log Z of each prompt, (P,)."""
    return log_mean_exp(reward_PN / beta)


def upper(reward_M: Floats, exact_K: Floats, beta: float) -> float:
    """Return the bound above log Z of one prompt: the mean over its K exact samples; NaN without any.

    ``reward_M`` are rewards of samples of the reference that are independent of the exact ones; one of them makes room.
    """
    if not len(exact_K):
        return math.nan
    rest = np.broadcast_to(reward_M[1:], (len(exact_K), len(reward_M) - 1))
    return float(log_mean_exp(np.concatenate([exact_K[:, None], rest], axis=1) / beta).mean())


def accept(reward: Floats, beta: float, highest: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which samples of the reference are exact samples of the optimum; ``highest`` bounds all rewards."""
    return rng.random(reward.shape) < np.exp((reward - highest) / beta)


def effective(reward_PN: Floats, beta: float) -> Floats:
    """Return the effective sample size of each prompt, (Σw)²/Σw², (P,)."""
    weight = np.exp((reward_PN - reward_PN.max(1, keepdims=True)) / beta)
    result: Floats = weight.sum(1) ** 2 / (weight**2).sum(1)
    return result


def tilted_means(reward_PN: Floats, inverse: float) -> tuple[Floats, Floats]:
    """Return reward and KL of π_ref·e^{r·inverse}/Z for each prompt, by self-normalized weights, (P,) each."""
    log_weight = reward_PN * inverse
    share = np.exp(log_weight - log_weight.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    mean = (share * reward_PN).sum(1)
    return mean, np.maximum(0.0, mean * inverse - log_mean_exp(log_weight))


def best_of(reward_PN: Floats, n: int) -> Floats:
    """Return the expected reward of the best of ``n`` samples of each prompt, (P,): the mean over all subsets."""
    total = reward_PN.shape[1]
    ranks = np.arange(1, total + 1)
    with np.errstate(divide="ignore"):
        log_share = np.array([_log_binomial(r - 1, n - 1) for r in ranks]) - _log_binomial(total, n)
    result: Floats = (np.sort(reward_PN, axis=1) * np.exp(log_share)).sum(1)
    return result


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) if 0 <= k <= n else -math.inf


def best_of_kl(n: int) -> float:
    """Return the largest KL that the best of ``n`` samples can have, log n − (n − 1)/n, nats (Beirami et al. 2024)."""
    return math.log(n) - (n - 1) / n


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """Samples of one prompt set, and what they say of the optimum."""

    rewards: Floats
    """Rewards of the samples of the reference."""
    exact: tuple[Floats, ...]
    """Rewards of the exact samples of each prompt."""
    tried: NDArray[np.int64]
    """Samples that were offered for acceptance, (P,)."""
    beta: float

    @cached_property
    def lower(self) -> Floats:
        """Lower bounds of log Z, (P,)."""
        return lower(self.rewards, self.beta)

    @cached_property
    def upper(self) -> Floats:
        """Upper bounds of log Z, (P,); NaN where nothing was accepted."""
        half = self.rewards.shape[1] // 2
        pairs = zip(self.rewards[:, :half], self.exact, strict=True)
        return np.array([upper(rewards, exact, self.beta) for rewards, exact in pairs])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean log Z of these prompts: both bounds, each with its noise.

        The variance of the log of a mean weight is 1/(effective samples) − 1/(samples), by the delta method.
        """
        half = self.rewards[:, : self.rewards.shape[1] // 2]
        below, above = (
            Z95 * math.sqrt((1 / effective(part, self.beta) - 1 / part.shape[1]).sum()) / len(part)
            for part in (self.rewards, half)
        )
        return float(self.lower.mean()) - below, float(self.upper.mean()) + above

    @cached_property
    def objective(self) -> Floats:
        """J* of each prompt: the middle between its bounds."""
        result: Floats = self.beta * (self.lower + self.upper) / 2
        return result

    @cached_property
    def reference(self) -> Floats:
        """J(π_ref) = E_ref[r] of each prompt."""
        result: Floats = self.rewards.mean(1)
        return result

    @property
    def room(self) -> float:
        """J* − J(π_ref), mean over prompts."""
        return float((self.objective - self.reference).mean())

    @property
    def width(self) -> float:
        """Distance between the bounds of J*, mean over prompts; below 0 where chance has them cross."""
        return float(self.beta * (self.upper - self.lower).mean())

    @cached_property
    def effective_samples(self) -> Floats:
        """Effective samples of each prompt."""
        return effective(self.rewards, self.beta)

    @cached_property
    def unresolved(self) -> str:
        """Why no regret can be given; empty if one can."""
        without = int(np.isnan(self.upper).sum())
        if without:
            return (
                f"not resolved: no exact sample of the optimum was accepted for {without} of {len(self.upper)} prompts"
            )
        if (least := float(self.effective_samples.min())) < LEAST_EFFECTIVE:
            few = int((self.effective_samples < LEAST_EFFECTIVE).sum())
            return (
                f"not resolved: {few} of {len(self.upper)} prompts have fewer than {LEAST_EFFECTIVE:g} effective "
                f"samples (least: {least:.1f} of {self.rewards.shape[1]}); raise problem.optimum_samples or "
                "problem.beta"
            )
        if self.room <= 2 * abs(self.width) or self.room <= 0:
            return f"not resolved: the optimum is within the width of its bounds of the reference ({self.room:.2g})"
        return ""

    @cached_property
    def frontier(self) -> Frontier:
        """Largest mean reward at each mean KL, as far as the samples carry (half of the prompts `LEAST_EFFECTIVE`)."""
        spread = float(self.rewards.std(1).mean()) or 1.0
        inverse = np.geomspace(0.02, 50.0, POINTS) / spread
        carried = [b for b in inverse if np.median(effective(self.rewards, 1 / b)) >= LEAST_EFFECTIVE]
        points = np.array([[0.0, 0.0, self.reference.mean()], *([b, *self._point(self.rewards, b)] for b in carried)])
        return Frontier(inverse_temperature=points[:, 0], kl=points[:, 1], reward=points[:, 2])

    @staticmethod
    def _point(reward_PN: Floats, inverse: float) -> tuple[float, float]:
        reward, kl = tilted_means(reward_PN, inverse)
        return float(kl.mean()), float(reward.mean())

    def band(self) -> tuple[list[float], list[float]]:
        """Return a 95 % band of the frontier's reward at its KLs, over resamples of each prompt's samples."""
        curve, rng = self.frontier, np.random.default_rng(0)
        prompts, samples = self.rewards.shape
        rewards = []
        for _ in range(RESAMPLES):
            picked = np.take_along_axis(self.rewards, rng.integers(samples, size=(prompts, samples)), axis=1)
            points = np.array([(0.0, picked.mean()), *(self._point(picked, b) for b in curve.inverse_temperature[1:])])
            rewards.append(np.interp(np.sqrt(curve.kl), np.sqrt(points[:, 0]), points[:, 1]))
        half = Z95 * np.std(rewards, axis=0, ddof=1)
        return (curve.reward - half).tolist(), (curve.reward + half).tolist()

    @property
    def best_of_sizes(self) -> list[int]:
        """Sizes of `BEST_OF` whose expected reward these samples tell."""
        return [n for n in BEST_OF if n <= self.rewards.shape[1] // 4]

    def beta_at(self, kl: float) -> float | None:
        """Return the β whose optimum has this mean KL; None beyond the frontier."""
        curve = self.frontier
        return curve.temperature_at(kl) if kl <= curve.kl[-1] else None

    def summary(self) -> dict[str, Any]:
        """Return figures for the manifest."""
        reward, kl = tilted_means(self.rewards, 1 / self.beta)
        low, high = self.band()
        curve = self.frontier
        sizes = self.best_of_sizes
        accepted = np.array([len(e) for e in self.exact]) / self.tried
        return {
            "objective": float(self.objective.mean()) if not self.unresolved else None,
            "objective_lower": float(self.beta * self.lower.mean()),
            "objective_upper": None if np.isnan(self.upper).any() else float(self.beta * self.upper.mean()),
            "objective_interval": None if np.isnan(self.upper).any() else [self.beta * end for end in self.interval],
            "objective_reference": float(self.reference.mean()),
            "reward": float(reward.mean()),
            "reward_reference": float(self.reference.mean()),
            "kl_ref": float(kl.mean()),
            "beta_at_one_nat": self.beta_at(1.0),
            "unresolved": self.unresolved,
            "samples": int(self.rewards.shape[1]),
            "effective_samples": {
                "least": float(self.effective_samples.min()),
                "median": float(np.median(self.effective_samples)),
            },
            "accepted_share": {"least": float(accepted.min()), "mean": float(accepted.mean())},
            "best_of": {
                "n": sizes,
                "kl_at_most": [best_of_kl(n) for n in sizes],
                "reward": [float(best_of(self.rewards, n).mean()) for n in sizes],
            },
            "frontier": {
                "inverse_temperature": curve.inverse_temperature.tolist(),
                "kl": curve.kl.tolist(),
                "reward": curve.reward.tolist(),
                "reward_low": low,
                "reward_high": high,
            },
        }


def save(folder: Path, parts: dict[str, Optimum]) -> None:
    """Write the samples of each split to ``optimum.npz``."""
    tables: dict[str, Any] = {}
    for split, part in parts.items():
        tables |= {
            f"reward_{split}": part.rewards,
            f"exact_{split}": np.concatenate(part.exact) if part.exact else np.zeros(0),
            f"exact_counts_{split}": np.array([len(e) for e in part.exact]),
            f"tried_{split}": part.tried,
        }
    np.savez(folder / FILE, beta=np.float64(next(iter(parts.values())).beta), **tables)


def load(folder: Path) -> dict[str, Optimum]:
    """Read ``optimum.npz`` of a prepared folder."""
    with np.load(folder / FILE) as stored:
        return {
            split: Optimum(
                rewards=stored[f"reward_{split}"],
                exact=tuple(np.split(stored[f"exact_{split}"], np.cumsum(stored[f"exact_counts_{split}"])[:-1])),
                tried=stored[f"tried_{split}"],
                beta=float(stored["beta"]),
            )
            for split in SPLITS
            if f"reward_{split}" in stored
        }
