"""The study of the estimated optimum, on a made-up truth that can be enumerated."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "studies"))

import estimated_optimum as study

from una_bench.problems.exact import language, optimum
from una_bench.problems.exact.truth import Truth

RNG = np.random.default_rng(0)
SHAPE = (len(language.prompts()), len(language.responses()))
LOGITS = RNG.normal(size=SHAPE)
KNOWN = Truth(
    logp_reference=LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True)),
    reward=RNG.normal(size=SHAPE).clip(-2, 2),
    splits={"train": np.arange(SHAPE[0]) < 48, "heldout": np.arange(SHAPE[0]) >= 48},
    beta=0.7,
    frontiers={},
)


def test_the_bounds_hold_the_enumerated_truth_in_95_of_100_repetitions() -> None:
    rows = KNOWN.rows("train")
    exact = optimum.log_normalizer(KNOWN.logp_reference[rows], KNOWN.reward[rows], KNOWN.beta).mean()
    estimates = [study.estimate(KNOWN, "train", np.random.default_rng(seed), 64) for seed in range(100)]
    assert sum(low <= exact <= high for low, high in (one.interval for one in estimates)) >= 95


def test_every_prompt_of_an_estimate_has_an_exact_sample() -> None:
    by = study.estimate(KNOWN, "heldout", np.random.default_rng(0), 16)
    assert min(len(exact) for exact in by.exact) > 0 and by.rewards.shape == (16, 16)


def test_the_estimated_regret_of_the_optimum_itself_is_zero_within_its_error() -> None:
    from una_bench.problems.generated import judge

    rows = KNOWN.rows("train")
    by = study.estimate(KNOWN, "train", np.random.default_rng(1), 2048)
    logp = optimum.tilted(KNOWN.logp_reference[rows], KNOWN.reward[rows], KNOWN.beta)
    reward = (np.exp(logp) * KNOWN.reward[rows]).sum(1)
    regret = judge.figures(reward, optimum.divergence(logp, KNOWN.logp_reference[rows]), by)["regret"]
    assert abs(regret.value) <= 3 * regret.error
