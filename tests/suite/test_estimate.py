"""A dry run predicts from what was measured only where it would be the same work."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from una_bench.suite import estimate, plan, recipe
from una_bench.suite.presets import after

MEASURED: dict[str, Any] = {
    "problem": {"kind": "preference", "policy": "p", "max_response_length": 64, "dataset": "d"},
    "budget": {"responses": 512},
    "batch_responses": 8,
    "lora": {"r": 16},
    "benchmarks": {"leaderboard": {"limit": 8}},
    "expected": {"setup": {"seconds": 9.0}, "evaluation": {"seconds": 20.0}, "dpo": {"seconds": 80.0, "peak_bytes": 7}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(MEASURED)
    *outer, last = path.split(".")
    target = made
    for part in outer:
        target = target[part]
    target[last] = value
    return after(made, MEASURED)["expected"]


def test_an_unchanged_recipe_expects_what_was_measured() -> None:
    assert after(MEASURED, MEASURED)["expected"] == MEASURED["expected"]


@pytest.mark.parametrize(("path", "value"), [("problem.dataset", "other"), ("seeds", [1]), ("workers", 1)])
def test_what_is_the_same_work_expects_the_same(path: str, value: Any) -> None:
    assert changed(path, value) == MEASURED["expected"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lora", None),
        ("batch_responses", 4),
        ("precision", "bfloat16"),
        ("problem.policy", "q"),
        ("problem.max_response_length", 128),
    ],
)
def test_other_work_expects_nothing_of_a_training(path: str, value: Any) -> None:
    assert changed(path, value) == {"setup": {"seconds": 9.0}, "evaluation": {"seconds": 20.0}}


def test_a_part_of_the_budget_takes_a_part_of_the_time_in_the_same_memory() -> None:
    assert changed("budget", {"responses": 128})["dpo"] == {"seconds": 20.0, "peak_bytes": 7}


@pytest.mark.parametrize("budget", [{"tokens": 512}, {}, None, {"responses": "many"}, {"responses": 0}])
def test_another_kind_of_budget_has_no_known_time(budget: Any) -> None:
    assert changed("budget", budget)["dpo"] == {"peak_bytes": 7}


@pytest.mark.parametrize("budget", [{}, {"responses": 1, "steps": 2}, [3]])
def test_a_recipe_file_with_a_budget_that_is_none_is_left_to_validation(budget: Any) -> None:
    own = MEASURED | {"budget": budget}
    assert after(own, own)["expected"]["dpo"] == {"peak_bytes": 7}


def test_other_benchmarks_take_a_time_that_nobody_knows() -> None:
    expected = changed("benchmarks.leaderboard.limit", None)
    assert expected["evaluation"] == {}
    assert expected["dpo"] == MEASURED["expected"]["dpo"]


def test_a_recipe_that_says_itself_what_to_expect_is_believed() -> None:
    own = MEASURED | {"lora": None, "expected": {"dpo": {"seconds": 1.0}}}
    assert after(own, MEASURED)["expected"] == {"dpo": {"seconds": 1.0}}


@pytest.mark.parametrize(
    ("change", "known"),
    [("budget.responses=16", True), ("lora=null", False), ("benchmarks.leaderboard.limit=1", False)],
)
def test_the_whole_run_is_predicted_where_every_part_is_known(change: str, known: bool) -> None:
    made = plan.make(recipe.load("smollm2", [change]))
    assert (estimate.wall_seconds(made) is not None) == known
