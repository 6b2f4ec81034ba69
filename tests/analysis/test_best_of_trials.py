"""The expected best of n trials against brute force over all subsets."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import pytest

from una_bench.analysis import best_of_trials

VALUES = (0.31, 0.12, 0.94, 0.12, 0.55, 0.47, 1.0)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("n", range(1, len(VALUES) + 1))
def test_it_is_the_mean_of_the_best_over_all_subsets(n: int, higher: bool) -> None:
    best = [(max if higher else min)(subset) for subset in combinations(VALUES, n)]
    assert best_of_trials.of_trials(VALUES, n, higher=higher).mean == pytest.approx(fmean(best), abs=1e-12)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("n", range(1, len(VALUES) + 1))
def test_the_band_holds_the_middle_of_the_subsets(n: int, higher: bool) -> None:
    best = sorted((max if higher else min)(subset) for subset in combinations(VALUES, n))
    made = best_of_trials.of_trials(VALUES, n, higher=higher)
    below, above = (sum(b < made.low for b in best), sum(b > made.high for b in best))
    assert max(below, above) <= 0.1 * len(best) + 1e-9
    assert made.low in VALUES and made.high in VALUES


def test_one_trial_is_the_mean_and_all_trials_are_the_best() -> None:
    assert best_of_trials.of_trials(VALUES, 1, higher=False).mean == pytest.approx(fmean(VALUES))
    whole = best_of_trials.of_trials(VALUES, len(VALUES), higher=False)
    assert whole.mean == whole.low == whole.high == min(VALUES)


def test_more_trials_are_never_worse() -> None:
    means = [best_of_trials.of_trials(VALUES, n + 1, higher=True).mean for n in range(len(VALUES))]
    assert means == sorted(means)


def test_it_is_unbiased_for_independent_draws() -> None:
    """Over all samples of 4 from a population of 3 values, the mean estimate is the true expected best of 2 draws."""
    population = (0.0, 1.0, 5.0)
    samples = [(a, b, c, d) for a in population for b in population for c in population for d in population]
    estimates = [best_of_trials.of_trials(sample, 2, higher=True).mean for sample in samples]
    true = fmean(max(a, b) for a in population for b in population)
    assert fmean(estimates) == pytest.approx(true, abs=1e-12)
