"""Statistics against results by hand and scipy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from una_bench.analysis import aggregate, stats

GOLDEN = Path(__file__).parents[1] / "golden"


def test_an_interval_over_three_seeds_is_student_t_by_hand() -> None:
    found = stats.interval([1.0, 2.0, 3.0])
    # mean 2, standard deviation 1, t(2) at 97.5 % = 4.3027
    assert found.half == pytest.approx(4.302652729749462 / math.sqrt(3))


def test_an_interval_equals_scipys_t_interval() -> None:
    values = [0.31, 0.36, 0.29, 0.4]
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    found = stats.interval(values)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = stats.interval([0.4])
    assert (found.mean, found.low, found.high) == (0.4, None, None)


def test_a_value_that_is_not_finite_gets_no_interval() -> None:
    assert stats.interval([1.0, math.inf]).low is None


def test_holm_by_hand() -> None:
    # smallest 0.005 x 4, then 0.01 x 3, then 0.03 x 2, then 0.04 raised to the one before it
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_an_interval_at_holms_level_excludes_zero_exactly_where_holm_rejects(pvalues: list[float]) -> None:
    rejected = [p <= 0.05 for p in stats.holm(pvalues)]
    excluded = [p <= 1 - level + 1e-12 for p, level in zip(pvalues, stats.holm_levels(pvalues), strict=True)]
    near = [any(math.isclose(p * k, 0.05, rel_tol=1e-9) for k in range(1, 9)) for p in pvalues]
    assert [r for r, n in zip(rejected, near, strict=True) if not n] == [
        e for e, n in zip(excluded, near, strict=True) if not n
    ]


def test_a_paired_difference_equals_scipys_paired_t_test() -> None:
    a, b = {0: 0.30, 1: 0.42, 2: 0.35}, {0: 0.25, 1: 0.33, 2: 0.31}
    theirs = scipy.stats.ttest_rel(list(a.values()), list(b.values()))
    found = stats.paired([(a, b)])[0]
    assert (found.p, found.low, found.high) == pytest.approx((theirs.pvalue, *theirs.confidence_interval(0.95)))


def test_pairing_by_seed_resolves_what_unpaired_means_do_not() -> None:
    a, b = {0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.9, 1: 1.89, 2: 2.91}
    unpaired = scipy.stats.ttest_ind([*a.values()], [*b.values()], equal_var=False)
    assert (stats.paired([(a, b)])[0].resolved, unpaired.pvalue < 0.05) == (True, False)


def test_a_difference_is_taken_over_common_seeds_alone() -> None:
    assert stats.paired([({0: 1.0, 1: 2.0, 7: 90.0}, {0: 0.0, 1: 1.5, 3: 5.0})])[0].mean == pytest.approx(0.75)


def test_one_common_seed_is_never_resolved() -> None:
    found = stats.paired([({0: 1.0, 1: 2.0}, {0: 0.0})])[0]
    assert (found.resolved, found.p) == (False, None)


def test_a_difference_whose_interval_holds_zero_is_not_resolved() -> None:
    assert not stats.family([[-1.0, 0.0, 1.5]])[0].resolved


def test_more_comparisons_widen_the_interval() -> None:
    sample = [0.10, 0.12, 0.14]
    alone, among = stats.family([sample])[0], stats.family([sample, [-1.0, 1.0, 0.5]])[0]
    assert among.high - among.low > alone.high - alone.low  # type: ignore[operator]


def test_values_that_differ_by_rounding_alone_have_no_spread() -> None:
    found = stats.family([[0.24, 0.24 + 1e-17, 0.24]])[0]
    assert (found.p, found.low, found.detectable) == (0.0, found.high, 0.0)


def test_the_detectable_difference_is_detected_four_times_in_five() -> None:
    size = stats.detectable(1.0, 5)
    drawn = np.random.default_rng(0).normal(size, 1.0, size=(40_000, 5))
    t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(5))
    assert np.mean(np.abs(t) > stats.t_quantile(0.95, 4)) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 13])
def test_the_interquartile_mean_is_scipys_trimmed_mean(count: int) -> None:
    values = list(np.random.default_rng(count).normal(size=count))
    assert aggregate.iqm(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))


def test_documents_add_their_variance_to_that_of_seeds_by_hand() -> None:
    found = aggregate.with_documents([0.4, 0.5, 0.6], [0.03, 0.03, 0.03])
    total = 0.1**2 / 3 + 0.03**2
    df = 2 * (total / (0.1**2 / 3)) ** 2
    assert found.half == pytest.approx(scipy.stats.t.ppf(0.975, df) * math.sqrt(total))


def test_more_seeds_do_not_shrink_the_error_of_documents() -> None:
    found = aggregate.with_documents([0.5] * 50, [0.03] * 50)
    assert found.half == pytest.approx(1.959964 * 0.03, rel=1e-4)


def test_differences_by_document_with_one_seed_are_a_paired_t_test_over_documents() -> None:
    differences = [1.0, 0.0, 1.0, 0.0, -1.0, 1.0]
    theirs = scipy.stats.ttest_1samp(differences, 0.0)
    found = aggregate.by_document([differences])
    assert found.p == pytest.approx(theirs.pvalue)


def test_differences_by_seed_and_document_by_hand() -> None:
    # rows (seeds) 0.5 and 1.5, columns (documents) 0, 1, 2: purely additive, so that nothing is left over
    grid = [[-0.5, 0.5, 1.5], [0.5, 1.5, 2.5]]
    found = aggregate.by_document(grid)
    ms_seeds, ms_documents = 3 * 0.5, 2 * 1.0
    df = (ms_seeds + ms_documents) ** 2 / (ms_seeds**2 / 1 + ms_documents**2 / 2)
    half = scipy.stats.t.ppf(0.975, df) * math.sqrt((ms_seeds + ms_documents) / 6)
    assert (found.mean, found.high) == pytest.approx((1.0, 1.0 + half))


def test_intervals_by_seed_and_document_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        grid = rng.normal(0, 0.3, (4, 1)) + rng.normal(0, 1.0, (1, 30)) + rng.normal(0, 0.5, (4, 30))
        found = aggregate.by_document(grid)
        covered += found.low <= 0 <= found.high  # type: ignore[operator]
    assert covered / 400 == pytest.approx(0.95, abs=0.035)


def test_values_that_differ_by_rounding_share_a_place() -> None:
    assert stats.places([0.4, 0.3, 0.3 + 1e-12, 0.5]) == [3, 1, 1, 4]
    assert stats.places([]) == []
