"""Exact distance to the optimum, by enumeration of all responses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.record.schema import Better, Measurement

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import Prepared
    from una_bench.problems.exact.optimum import Floats
    from una_bench.problems.exact.truth import Truth

FIGURES = {
    "objective": ("1", Better.HIGHER, "J = E[r] − β·KL to the reference"),
    "regret": ("1", Better.LOWER, "(J* − J) / (J* − J of the reference), ratio of means over prompts"),
    "regret_median": ("1", Better.LOWER, "the same of each prompt, median over prompts"),
    "regret_direction": ("1", Better.LOWER, "part of the regret: reward missed at the same KL"),
    "regret_strength": ("1", Better.LOWER, "part of the regret: too little or too much KL, on the frontier"),
    "kl_optimum": ("nat", Better.LOWER, "KL(π‖π*)"),
    "kl_ref": ("nat", Better.NEITHER, "KL(π‖π_ref)"),
    "reward": ("1", Better.HIGHER, "E[r], true reward, offsets included"),
    "frontier_gap": ("1", Better.LOWER, "reward of the analytic frontier at the same KL, minus E[r]"),
    "temperature": ("1", Better.NEITHER, "temperature at which the frontier has the same KL; β is best"),
}
"""Metric -> unit, direction, description."""
CHOOSES = {f"oracle.{name}.validation": FIGURES[name][1] for name in ("regret", "objective", "reward")}
WATCHED = ("regret", "kl_ref", "reward")
BEST_OF = (4, 16)
"""Samples of the untrained policy of which the best is taken, a policy at no training cost."""


class Oracle(Benchmark):
    """Enumerates every response to every prompt; nothing is sampled or estimated."""

    label = "Distance to the optimum"
    about = "exact regret, KL and reward, by enumerating every response"
    units: ClassVar[dict[str, tuple[str, Better]]] = {
        f"oracle.{name}.{split}": (unit, better)
        for name, (unit, better, _) in FIGURES.items()
        for split in ("train", "heldout")
    }
    """Metric -> unit and direction, for curves."""
    chooses: ClassVar[dict[str, Better]] = CHOOSES

    def applies(self, prepared: Prepared) -> bool:
        """Return whether the problem has an exact truth."""
        return (prepared.path / "truth.npz").is_file()

    def prepare(self, prepared: Prepared, device: str) -> None:
        """Read the truth and compute the optimum."""
        _ = _truth(prepared.path).standards

    def watch(self, policy: Any, prepared: Prepared) -> Mapping[str, float]:
        """Return regret, KL and reward during training; the policy is unchanged."""
        figures = _judge(policy, _truth(prepared.path))
        shown = {f"oracle.{name}": value for name, value in figures.items() if name.partition(".")[0] in WATCHED}
        return {name: value for name, value in shown.items() if name in self.units}

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Evaluate a checkpoint on training and held-out prompts; values that are not finite are left out."""
        from una_bench.evaluation.checkpoints import load_checkpoint

        policy, _ = load_checkpoint(checkpoint)
        truth = _truth(checkpoint.prepared.path)
        measured = list(_measurements("oracle", _judge(policy, truth)))
        if checkpoint.path == checkpoint.prepared.policy:
            for n in BEST_OF:
                measured += _measurements(f"oracle.best_of_{n}", _judge_best_of(n, truth))
        return measured


def _measurements(prefix: str, figures: Mapping[str, float]) -> Iterator[Measurement]:
    for name, value in figures.items():
        unit, better, about = FIGURES[name.partition(".")[0]]
        if math.isfinite(value):
            how = f"{about}; exact, all 2,801 responses enumerated"
            yield Measurement.one(f"{prefix}.{name}", unit, better, value, how)


def _judge_best_of(n: int, truth: Truth) -> dict[str, float]:
    from una_bench.problems.exact.optimum import judge

    return {
        f"{name}.{split}": value
        for split, by in truth.standards.items()
        for name, value in judge(best_of(by.logp_reference, by.reward, n), by).items()
    }


def best_of(logp_reference: Floats, reward: Floats, n: int) -> Floats:
    """Return the log-probabilities of the best of ``n`` samples of the reference; equal rewards share by chance.

    The largest of n rewards is at most r with probability F(r)^n, F being the distribution of one reward.
    """
    logp = np.full_like(logp_reference, -np.inf)
    for row, (logp_R, reward_R) in enumerate(zip(logp_reference, reward, strict=True)):
        _, level_R = np.unique(reward_R, return_inverse=True)
        probability_R = np.exp(logp_R)
        mass_L = np.bincount(level_R, probability_R)
        upto_L = np.minimum(1.0, mass_L.cumsum())
        won_L = upto_L**n - np.concatenate([[0.0], upto_L[:-1]]) ** n
        with np.errstate(divide="ignore"):
            logp[row] = logp_R + (np.log(won_L) - np.log(mass_L))[level_R]
    return logp


@lru_cache(maxsize=1)
def _truth(folder: Path) -> Truth:
    from una_bench.problems.exact import truth

    return truth.load(folder)


def _judge(policy: Any, truth: Truth) -> dict[str, float]:
    """Enumerate without gradient and dropout, then restore the mode of every module."""
    import torch

    from una_bench.problems.exact import tree

    training = [module for module in policy.modules() if module.training]
    policy.eval()
    try:
        with torch.no_grad():
            logp = tree.log_probabilities(policy, tree.prompt_ids(policy.device)).cpu().numpy()
    finally:
        for module in training:
            module.training = True
    return truth.judge(logp)
