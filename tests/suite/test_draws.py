"""Draws of a problem in a plan: what a draw changes, and what it costs."""

from __future__ import annotations

import pytest

from una_bench.errors import UserError
from una_bench.suite import draws, plan, recipe, requirements


def planned(count: int) -> plan.Plan:
    return plan.make(recipe.load("ci", [("draws", count)]))


def test_the_first_draw_is_the_suite_without_draws() -> None:
    alone, first = planned(1), draws.of(planned(3))[0]
    assert (first.key, [c.key for c in first.cells]) == (alone.key, [c.key for c in alone.cells])


def test_a_draw_adds_its_number_to_every_seed_of_the_problem() -> None:
    problems = [one.recipe.problem for one in draws.of(planned(3))]
    assert [(p["seed"], p["reward_seed"]) for p in problems] == [(0, 4), (1, 5), (2, 6)]


def test_a_draw_is_the_run_of_a_recipe_with_these_seeds() -> None:
    by_hand = plan.make(recipe.load("ci", [("problem.seed", 2), ("problem.reward_seed", 6)]))
    assert [c.key for c in draws.of(planned(3))[2].cells] == [c.key for c in by_hand.cells]


def test_draws_keep_the_chosen_methods_and_seeds() -> None:
    chosen = plan.make(recipe.load("ci", [("draws", 2)]), ["dpo"], [7])
    assert [[c.name for c in one.cells] for one in draws.of(chosen)] == [["base-s7", "dpo-s7"]] * 2


def test_ten_draws_take_ten_times_as_long() -> None:
    one, ten = planned(1).expected_seconds(), planned(10).expected_seconds()
    assert one is not None
    assert ten == pytest.approx(10 * one)


def test_every_draw_keeps_its_checkpoints() -> None:
    one, ten = (requirements.of(planned(count)) for count in (1, 10))
    assert one is not None
    assert ten is not None
    trained = sum(cell.trains for cell in one.plan.cells)
    assert ten.saved_bytes - one.saved_bytes == 9 * trained * 4 * one.policy


def test_given_data_have_no_draws() -> None:
    with pytest.raises(UserError, match="a problem of kind preference are given, not drawn"):
        recipe.load("smollm2", [("draws", 2)])
