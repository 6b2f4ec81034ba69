"""Ground truth of the exact problem (``truth.npz``): reference probabilities and rewards of every response."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from una_bench.problems.exact import optimum
from una_bench.problems.exact.optimum import Floats
from una_bench.problems.exact.world import Masks

FILE = "truth.npz"
SPLITS = ("train", "heldout", "validation")
POINTS_SHOWN = 40
"""Points of the frontier in the manifest, for plots."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Tables of one prepared problem, prompts and responses in the order of `una_bench.problems.exact.language`."""

    logp_reference: Floats
    """Nats, (prompts, responses)."""
    reward: Floats
    """True reward with offsets, (prompts, responses)."""
    splits: Masks
    beta: float
    frontiers: dict[str, optimum.Frontier]
    """Per split; slow to compute, so it is stored."""

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the indices of the prompts of one split."""
        return np.flatnonzero(self.splits[split])

    @cached_property
    def standards(self) -> dict[str, optimum.Standard]:
        """Optimum and frontier per split."""
        return {
            split: optimum.standard(self.logp_reference[rows], self.reward[rows], self.beta, self.frontiers[split])
            for split in self.splits
            if len(rows := self.rows(split))
        }

    def judge(self, logp: Floats) -> dict[str, float]:
        """Measure a policy from its log-probabilities (prompts, responses): ``regret.train`` and so on."""
        return {
            f"{name}.{split}": value
            for split, standard in self.standards.items()
            for name, value in optimum.judge(logp[self.rows(split)], standard).items()
        }

    def summary(self) -> dict[str, Any]:
        """Return figures of the optimum and points of the frontier, for the manifest."""
        summary: dict[str, Any] = {}
        for split, by in self.standards.items():
            best = optimum.judge(by.logp_optimum, by)
            shown = _shown(by.frontier)
            summary[split] = {
                "objective": best["objective"],
                "objective_reference": float(by.objective_reference.mean()),
                "reward": best["reward"],
                "reward_reference": float(by.objective_reference.mean()),
                "kl_ref": best["kl_ref"],
                "frontier": {axis: points[shown].tolist() for axis, points in asdict(by.frontier).items()},
            }
        return summary

    def save(self, folder: Path) -> None:
        """Write ``truth.npz``."""
        tables: dict[str, Any] = {f"frontier_{split}": np.stack(astuple(c)) for split, c in self.frontiers.items()}
        tables |= {"logp_reference": self.logp_reference, "reward": self.reward}
        tables |= {split: mask for split, mask in self.splits.items() if split != "train"}
        np.savez(folder / FILE, beta=np.float64(self.beta), **tables)


def load(folder: Path) -> Truth:
    """Read ``truth.npz`` of a prepared folder."""
    with np.load(folder / FILE) as stored:
        aside = [split for split in SPLITS if split in stored]
        return Truth(
            logp_reference=stored["logp_reference"],
            reward=stored["reward"],
            splits={"train": ~np.any([stored[split] for split in aside], axis=0), **{s: stored[s] for s in aside}},
            beta=float(stored["beta"]),
            frontiers={split: optimum.Frontier(*stored[f"frontier_{split}"]) for split in ("train", *aside)},
        )


def _shown(curve: optimum.Frontier) -> NDArray[np.int64]:
    """Return the indices of points about evenly spaced along the frontier, including both ends."""
    length = np.sqrt(curve.kl / curve.kl[-1]) + (curve.reward - curve.reward[0]) / np.ptp(curve.reward)
    return np.unique(np.abs(length[:, None] - np.linspace(0, length[-1], POINTS_SHOWN)).argmin(0))


def make(logp_reference: Floats, reward: Floats, splits: Masks, beta: float) -> Truth:
    """Compute the frontier of each split and return the truth."""
    frontiers = {split: optimum.frontier(logp_reference[g], reward[g]) for split, g in splits.items()}
    return Truth(logp_reference=logp_reference, reward=reward, splits=splits, beta=beta, frontiers=frontiers)
