"""Given responses on their way to TRL: token for token, and the order in which KTO meets them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.training.trl import bridge, dpo, kto, offline

UNENDED = pd.DataFrame(
    {
        "pair": [0, 0, 1, 1],
        "prompt_ids": [[9, 10], [9, 10], [11, 12], [11, 12]],
        "completion_ids": [[1, 2, 3, 4], [1, 0], [2, 0], [3, 3, 3, 3]],
        "chosen": [False, True, True, False],
        "label": [True, False, True, True],
    }
)
"""Two of these responses were cut at the limit and carry no end token."""


def test_pairs_get_no_end_token_that_they_did_not_have() -> None:
    pairs = dpo.pairs(UNENDED)
    assert pairs["rejected_ids"].tolist() == [[1, 2, 3, 4], [3, 3, 3, 3]]


def test_the_chosen_flag_decides_the_sides_of_a_pair() -> None:
    assert dpo.pairs(UNENDED)["chosen_ids"].tolist() == [[1, 0], [2, 0]]


def test_a_pair_without_a_chosen_response_is_refused() -> None:
    with pytest.raises(ValueError, match="one chosen and one rejected"):
        dpo.pairs(UNENDED.assign(chosen=[True, True, False, False]))


def test_kto_borrows_the_response_of_the_row_before() -> None:
    rows, borrowed = kto.kto_order(kto.shuffled_passes(12, 1, seed=0), steps=3, batch=4)
    assert (borrowed.reshape(3, 4) == np.roll(rows.reshape(3, 4), 1, axis=1)).all()


def test_kto_visits_pass_after_pass() -> None:
    passes = kto.shuffled_passes(12, 2, seed=0)
    assert kto.kto_order(passes, steps=5, batch=4)[0].tolist() == passes.reshape(-1)[:20].tolist()


@pytest.mark.parametrize("lengths", [None, np.arange(64) % 7])
def test_kto_sees_every_response_once_in_each_pass(lengths: Any) -> None:
    passes = kto.shuffled_passes(64, 2, seed=0, batch=4, lengths=lengths)
    assert [sorted(one) for one in passes] == [list(range(64))] * 2
    assert (passes[0] != passes[1]).any()


def test_the_order_of_kto_follows_the_seed() -> None:
    assert (kto.shuffled_passes(64, 1, seed=0) != kto.shuffled_passes(64, 1, seed=1)).any()


def test_each_row_lends_to_one_other() -> None:
    lender = kto.lenders(kto.shuffled_passes(9, 1, seed=0)[0])
    assert sorted(lender) == list(range(9))
    assert (lender != np.arange(9)).all()


def test_a_row_of_kto_borrows_the_same_response_in_every_pass_where_the_reference_reads_it_once(tiny_job: Job) -> None:
    long = replace(tiny_job, budget_responses=64, batch_responses=4)
    loans = {fixed: set() for fixed in (True, False)}
    for fixed, found in loans.items():
        rows = kto.labeled(UNENDED, long, once=fixed)[:]
        found.update(zip(map(str, rows["completion_ids"]), map(str, rows["KL_completion_ids"]), strict=True))
        assert len(rows["label"]) == 64
    assert len(loans[True]) == 4 < len(loans[False])


def test_a_row_of_kto_carries_the_borrowed_response(tiny_job: Job) -> None:
    data = kto.labeled(UNENDED, replace(tiny_job, budget_responses=4, batch_responses=4))
    completions = data[:]["completion_ids"]
    assert data[:]["KL_completion_ids"] == [completions[-1], *completions[:-1]]


def test_kto_refuses_batches_of_one(tiny_job: Job) -> None:
    from una_bench.instruments.probe import Probe

    with pytest.raises(UserError, match="batch_responses"):
        kto.train_kto(registry.method("kto")(), replace(tiny_job, batch_responses=1), Probe())


def test_padding_is_counted_apart_from_tokens() -> None:
    batch = {
        "input_ids": torch.tensor([[9, 10, 1, 0], [9, 10, 0, 17]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "completion_mask": torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]),
    }
    assert offline.tally(batch, dpo.PAIRS.columns) == {
        "responses": 2,
        "prompt_tokens": 4,
        "response_tokens": 3,
        "padding_tokens": 1,
    }


def test_both_sides_of_a_pair_are_counted_and_padded_to_one_width() -> None:
    table = UNENDED.assign(completion_ids=[[1, 2, 3, 4], [1, 0], [2, 0], [3, 3, 3, 3]])
    rows = bridge.side_rows(table)[:]
    batch = {name: padded(rows[name], -100 if name.endswith("labels") else 0) for name in rows}
    assert offline.tally(batch, bridge.SIDES.columns) == {
        "responses": 4,
        "prompt_tokens": 8,
        "response_tokens": 12,
        "padding_tokens": 4,
    }


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def test_prepared_rows_stay_as_they_are() -> None:
    rows = bridge.labeled_rows(UNENDED)
    assert rows.map(lambda row: {"label": not row["label"]}) is rows
    assert rows.filter(lambda row: False) is rows
    assert rows[0]["completion_input_ids"] == [9, 10, 1, 2, 3, 4]
    assert rows[0]["completion_labels"] == [-100, -100, 1, 2, 3, 4]
