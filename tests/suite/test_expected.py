"""Measured figures of a recipe are expected again only where the work is the same."""

from __future__ import annotations

from typing import Any

import pytest

from una_bench.errors import UserError
from una_bench.suite import plan, recipe

DPO = {"seconds": 634.0, "peak_bytes": 5341175808.0}
EVALUATION = {"seconds": 271.0}


def expected(*changes: str) -> dict[str, dict[str, float]]:
    return recipe.load("smollm2", changes).expected


@pytest.mark.parametrize("change", ["problem.dataset=other.jsonl", "seeds=[1]", "workers=1"])
def test_the_same_work_expects_the_same(change: str) -> None:
    assert expected(change) == expected()
    assert (expected()["dpo"], expected()["evaluation"]) == (DPO, EVALUATION)


@pytest.mark.parametrize(
    "change",
    ["lora=null", "batch_responses=4", "precision=bfloat16", "problem.policy=q", "problem.max_response_length=64"],
)
def test_other_work_expects_nothing_of_a_training(change: str) -> None:
    assert expected(change) == {"setup": {"seconds": 60.0}, "evaluation": EVALUATION}


@pytest.mark.parametrize(
    ("change", "dpo"),
    [
        ("budget.responses=128", {"seconds": 634 / 4, "peak_bytes": DPO["peak_bytes"]}),
        ("budget.tokens=512", {"peak_bytes": DPO["peak_bytes"]}),
    ],
)
def test_a_part_of_the_budget_takes_a_part_of_the_time_in_the_same_memory(change: str, dpo: dict[str, float]) -> None:
    assert expected(change)["dpo"] == dpo


def test_other_benchmarks_take_an_unknown_time() -> None:
    changed = expected("benchmarks.leaderboard.limit=1")
    assert (changed["evaluation"], changed["dpo"]) == ({}, DPO)


def test_figures_that_were_given_are_kept() -> None:
    assert expected("lora=null", "expected={dpo: {seconds: 1}}") == {"dpo": {"seconds": 1.0}}


@pytest.mark.parametrize("changes", ["budget=[3]", "budget=null", "problem=3", "budget.responses=many"])
def test_a_value_that_is_no_recipe_is_left_to_validation(changes: str) -> None:
    with pytest.raises(UserError, match=changes.partition("=")[0]):
        expected(changes)


@pytest.mark.parametrize(
    ("change", "minutes"),
    [
        ("workers=2", pytest.approx((60 + (5532 + 8 * 271) / 2) / 60)),
        ("lora=null", None),
        ("benchmarks.leaderboard.limit=1", None),
    ],
)
def test_the_whole_run_is_predicted_where_every_part_is_known(change: str, minutes: Any) -> None:
    seconds = plan.make(recipe.load("smollm2", [change])).expected_seconds()
    assert (None if seconds is None else seconds / 60) == minutes


def test_cells_that_take_long_start_first_and_unknown_ones_keep_their_order() -> None:
    known = {"kto": {"seconds": 30.0}, "ppo": {"seconds": 50.0}}
    made = recipe.load("exact").model_copy(update={"expected": known})
    planned = plan.make(made, methods=["dpo", "kto", "una_score", "ppo"], seeds=[0])
    assert [cell.method for cell in planned.longest_first(planned.cells)] == ["ppo", "kto", "base", "dpo", "una_score"]
