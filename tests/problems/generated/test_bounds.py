"""Bounds of the optimum from samples of the reference, against problems that can be enumerated."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from una_bench.problems.generated import bounds, judge
from una_bench.problems.generated.bounds import Optimum

BETA = 0.5
REWARD = np.array([[0.0, 0.5, 1.0, -1.0], [1.0, -0.5, 0.0, 0.2], [0.3, 0.3, -1.0, 0.9]])
"""Of 3 prompts with 4 responses each, all in [-1, 1]."""
REFERENCE = np.array([[0.4, 0.3, 0.1, 0.2], [0.1, 0.4, 0.3, 0.2], [0.25, 0.25, 0.4, 0.1]])
Z = (REFERENCE * np.exp(REWARD / BETA)).sum(1)
OPTIMUM = REFERENCE * np.exp(REWARD / BETA) / Z[:, None]


def sampled(seed: int, samples: int = 64) -> Optimum:
    rng = np.random.default_rng(seed)
    picked = np.stack([rng.choice(4, size=samples, p=p) for p in REFERENCE])
    reward_PN = np.take_along_axis(REWARD, picked, axis=1)
    offered = reward_PN[:, samples // 2 :]
    taken = bounds.accept(offered, BETA, 1.0, rng)
    exact = tuple(r[t] for r, t in zip(offered, taken, strict=True))
    return Optimum(rewards=reward_PN, exact=exact, tried=np.full(3, samples // 2), beta=BETA)


def test_the_expectations_of_the_bounds_enclose_the_truth() -> None:
    many = [sampled(seed, 16) for seed in range(600)]
    # Acceptance says nothing of the half of the samples behind the upper bound.
    below, above = (np.nanmean([getattr(one, side) for one in many], axis=0) for side in ("lower", "upper"))
    assert (below < np.log(Z)).all() and (np.log(Z) < above).all()


def test_the_reciprocal_of_the_mean_weight_with_an_exact_sample_is_unbiased_for_one_over_z() -> None:
    rng, weight = np.random.default_rng(0), np.exp(REWARD[0] / BETA)
    exact = weight[rng.choice(4, size=200_000, p=OPTIMUM[0])]
    others = weight[rng.choice(4, size=(200_000, 3), p=REFERENCE[0])].sum(1)
    assert fmean(4 / (exact + others)) == pytest.approx(1 / Z[0], rel=0.005)


def test_the_interval_holds_the_truth_in_95_of_100_repetitions() -> None:
    held = [low <= np.log(Z).mean() <= high for low, high in (sampled(s, 128).interval for s in range(100))]
    assert sum(held) >= 95


def test_accepted_samples_are_those_of_the_optimum() -> None:
    rng = np.random.default_rng(1)
    reward = REWARD[0][rng.choice(4, size=200_000, p=REFERENCE[0])]
    accepted = reward[bounds.accept(reward, BETA, 1.0, rng)]
    assert [(accepted == r).mean() for r in REWARD[0]] == pytest.approx(OPTIMUM[0], abs=0.01)


def test_the_lower_bound_by_hand() -> None:
    assert bounds.lower(np.array([[0.0, BETA * math.log(3)]]), BETA) == pytest.approx([math.log(2)])


def test_the_upper_bound_by_hand() -> None:
    """An exact sample of weight 3 in place of one of two samples of weight 1, and one of weight 1: log 2 and log 1."""
    exact = np.array([BETA * math.log(3), 0.0])
    assert bounds.upper(np.zeros(2), exact, BETA) == pytest.approx(math.log(2) / 2)


def test_without_an_exact_sample_there_is_no_upper_bound() -> None:
    assert math.isnan(bounds.upper(np.zeros(2), np.zeros(0), BETA))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_best_of_n_is_the_mean_over_all_subsets(n: int) -> None:
    rewards = [0.3, -0.2, 0.9, 0.1, 0.3]
    expected = fmean(max(part) for part in combinations(rewards, n))
    assert bounds.best_of(np.array([rewards]), n) == pytest.approx([expected])


def test_the_largest_kl_of_the_best_of_n() -> None:
    assert [bounds.best_of_kl(n) for n in (1, 2)] == pytest.approx([0.0, math.log(2) - 0.5])


def test_effective_samples_are_all_with_equal_weights_and_one_with_one_large_weight() -> None:
    assert bounds.effective(np.array([[0.0] * 8, [100.0] + [0.0] * 7]), BETA) == pytest.approx([8, 1])


def test_weighted_means_are_those_of_the_tilted_policy() -> None:
    reward, kl = bounds.tilted_means(sampled(0, 100_000).rewards, 1 / BETA)
    assert reward == pytest.approx((OPTIMUM * REWARD).sum(1), abs=0.02)
    assert kl == pytest.approx((OPTIMUM * np.log(OPTIMUM / REFERENCE)).sum(1), abs=0.02)


def test_the_frontier_begins_at_the_reference_and_rises() -> None:
    curve = sampled(0).frontier
    assert (curve.kl[0], curve.reward[0]) == (0.0, sampled(0).reference.mean())
    assert (np.diff(curve.kl) > 0).all() and (np.diff(curve.reward) > 0).all()


def test_the_band_of_the_frontier_encloses_it() -> None:
    low, high = sampled(0).band()
    assert (np.array(low) <= sampled(0).frontier.reward).all() and (sampled(0).frontier.reward <= np.array(high)).all()


def test_the_reference_has_a_regret_of_one_without_error() -> None:
    regret = judge.of_reference(sampled(0, 256))["regret"]
    assert (regret.value, regret.error) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))


def _policy(probability: np.ndarray, by: Optimum, samples: int = 64) -> dict[str, judge.Figure]:
    rng = np.random.default_rng(5)
    picked = np.stack([rng.choice(4, size=samples, p=p) for p in probability])
    ratio = np.log(probability / REFERENCE)
    kl = np.repeat((probability * ratio).sum(1)[:, None], samples, axis=1)
    return judge.judge(np.take_along_axis(REWARD, picked, 1), np.take_along_axis(ratio, picked, 1), kl, by)


def test_the_optimum_has_a_regret_of_zero_almost_without_noise() -> None:
    """One token a response: log-ratio less KL explains the reward, so that 64 samples know its mean."""
    by = sampled(0, 20_000)
    assert _policy(OPTIMUM, by)["regret"].value == pytest.approx(0.0, abs=0.02)


def test_a_policy_in_between_has_its_exact_regret() -> None:
    between = np.sqrt(REFERENCE * OPTIMUM)
    between /= between.sum(1, keepdims=True)
    objective = (between * (REWARD - BETA * np.log(between / REFERENCE))).sum(1).mean()
    best, worst = (BETA * np.log(Z)).mean(), (REFERENCE * REWARD).sum(1).mean()
    regret = _policy(between, sampled(0, 20_000), 2_000)["regret"]
    assert regret.value == pytest.approx((best - objective) / (best - worst), abs=0.03)


def test_regret_is_the_mean_of_its_parts_and_the_sum_of_direction_and_strength() -> None:
    made = _policy(OPTIMUM, sampled(0, 256))
    assert made["regret"].by_prompt.mean() == pytest.approx(made["regret"].value)
    assert made["regret_direction"].value + made["regret_strength"].value == pytest.approx(made["regret"].value)


def test_where_nothing_was_accepted_there_is_no_regret_but_a_reason() -> None:
    full = sampled(0, 256)
    by = Optimum(rewards=full.rewards, exact=(np.zeros(0), *full.exact[1:]), tried=full.tried, beta=BETA)
    assert by.unresolved == "not resolved: no exact sample of the optimum was accepted for 1 of 3 prompts"
    assert "regret" not in judge.of_reference(by) and by.summary()["objective"] is None


def test_where_one_sample_carries_the_estimate_there_is_no_regret_but_a_reason() -> None:
    full = sampled(0, 256)
    by = Optimum(rewards=full.rewards, exact=full.exact, tried=full.tried, beta=0.02)
    by.rewards[0, 0] = 2.0
    assert by.unresolved.startswith(
        "not resolved: 1 of 3 prompts have fewer than 5 effective samples (least: 1.0 of 256)"
    )


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    parts = {"train": sampled(0), "heldout": sampled(1)}
    bounds.save(tmp_path, parts)
    read = bounds.load(tmp_path)
    assert all((read[s].upper == parts[s].upper).all() and read[s].beta == BETA for s in parts)
