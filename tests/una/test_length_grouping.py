"""Batches of rows of similar length."""

from __future__ import annotations

import numpy as np
import pytest

from una_bench.una.samplers import LengthSampler, length_grouped

LENGTHS = np.random.default_rng(0).integers(1, 200, 203)
BATCH = 8


def grouped(lengths: np.ndarray, batch: int = BATCH, seed: int = 0) -> np.ndarray:
    return length_grouped(lengths, batch, np.random.default_rng(seed))


def padding(order: np.ndarray) -> float:
    """Return the share of padding if every batch is as wide as its longest row."""
    batches = [LENGTHS[order[start : start + BATCH]] for start in range(0, len(order), BATCH)]
    return float(1 - LENGTHS.sum() / sum(len(batch) * batch.max() for batch in batches))


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 203])
def test_every_row_comes_once(rows: int) -> None:
    assert sorted(grouped(LENGTHS[:rows])) == list(range(rows))


def test_less_than_half_of_the_padding_is_left() -> None:
    assert padding(grouped(LENGTHS)) < 0.5 * padding(np.random.default_rng(0).permutation(len(LENGTHS)))


def test_length_follows_no_schedule() -> None:
    widths = np.mean([LENGTHS[grouped(LENGTHS, seed=seed)[:200].reshape(-1, BATCH)].max(1) for seed in range(200)], 0)
    assert np.ptp(widths) < 0.2 * np.ptp(LENGTHS)  # sorted batches would fall from 200 to 10


def test_the_incomplete_batch_is_the_last_one() -> None:
    order = grouped(LENGTHS)
    spread = [np.ptp(LENGTHS[order[start : start + BATCH]]) for start in range(0, 200, BATCH)]
    assert max(spread) < np.ptp(LENGTHS) / 2


def test_rows_of_one_length_are_only_shuffled() -> None:
    order = grouped(np.full(64, 5))
    assert sorted(order) == list(range(64)) != order.tolist()


def test_the_order_changes_with_epoch_and_seed_and_nothing_else() -> None:
    orders = []
    for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0)):
        sampler = LengthSampler(LENGTHS, BATCH, seed)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert len(sampler) == len(orders[-1])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
