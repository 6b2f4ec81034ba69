"""Ladders: which rows are rungs, what a change is, and what is not compared."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import climbs
import pytest
from climbs import ADAPTERS, PPO, RLOO, cell

from una_bench.analysis import frame, ladder
from una_bench.analysis.ladder import Ladder
from una_bench.interfaces import registry
from una_bench.record.schema import Record, Status, StepSamples
from una_bench.suite import plan, recipe

RUNGS = [rung for _, _, rungs in ladder._definitions() for rung in rungs]
SUITE = plan.make(recipe.load("ladder"))


def climbed(records: list[Record]) -> list[Ladder]:
    return ladder.ladders(frame.rows(records))


def online(records: list[Record]) -> dict[str, ladder.Quantities]:
    """Changes by title of the rung."""
    (found,) = climbed(records)
    return {step.rung.title: step.changes for step in found.steps}


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: f"{rung.method}: {rung.title}")
def test_every_rung_is_one_row_of_the_suite(rung: Any) -> None:
    method = registry.method(rung.method)
    assert method(**rung.settings).settings().items() >= rung.settings.items()
    cells = [c for c in SUITE.cells if c.method == rung.method and c.settings.items() >= rung.settings.items()]
    assert sorted(c.seed for c in cells) == [0, 1, 2]


def test_the_suite_has_nothing_but_rungs() -> None:
    assert len([c for c in SUITE.cells if c.trains]) == 3 * len(RUNGS)


def test_a_rung_changes_its_method_or_one_setting() -> None:
    for _, _, rungs in ladder._definitions():
        for before, after in pairwise(rungs):
            changed = {k for k in after.settings if before.settings.get(k) != after.settings[k]}
            assert before.method != after.method or len(changed) == 1


def test_one_worker_trains_all_rungs_of_a_seed_before_the_next_seed() -> None:
    ordered = SUITE.longest_first(SUITE.cells)
    assert [c.seed for c in ordered if c.trains] == [seed for seed in (0, 1, 2) for _ in RUNGS]


def test_a_change_is_in_units_of_the_rung_before_seed_by_seed() -> None:
    changes = online(climbs.online())
    assert changes["no value model: TRL's RLOO"] == {
        "seconds": {0: 0.5, 1: 1.0},
        "operations": {0: 1.0, 1: 1.0},
        "bytes": {0: 0.5, 1: 0.5},
    }


def test_what_belongs_to_a_part_in_all_is_the_product_of_its_changes() -> None:
    (found,) = climbed(climbs.online())
    assert found.in_all["the method, in all"]["seconds"] == {0: 0.25, 1: 0.25}
    assert found.in_all["the method, in all"]["bytes"] == {0: 0.25, 1: 0.25}


def test_a_part_without_one_of_its_changes_has_no_product() -> None:
    (found,) = climbed(climbs.online())
    assert "the engine, in all" not in found.in_all


def test_a_rung_whose_predecessor_is_missing_has_no_change() -> None:
    changes = online([r for r in climbs.online() if r.method != "rloo"])
    assert (changes["UNA's loss and trainer"], bool(changes["adapters on the value model"])) == ({}, True)


def test_a_seed_that_failed_on_one_rung_is_left_out_of_its_changes() -> None:
    records = [r for r in climbs.online() if (r.method, r.seed) != ("rloo", 1)]
    lost = cell("rloo", RLOO, (), seed=1, status=Status.KILLED, measurements=())
    changes = online([*records, lost])
    assert changes["no value model: TRL's RLOO"]["seconds"] == {0: 0.5}


def test_rows_that_are_no_neighbors_are_no_ladder() -> None:
    assert climbed([cell("ppo", PPO, (1.0,)), cell("rloo", RLOO, (1.0,))]) == []


@pytest.mark.parametrize("changed", [{"settings": {**ADAPTERS, "responses_per_rollout": 8}}, {"job": {"budget": 3}}])
def test_rungs_of_other_sizes_or_budgets_are_not_compared(changed: dict[str, Any]) -> None:
    assert climbed([cell("ppo", PPO, (1.0, 1.0)), cell("ppo", ADAPTERS, (1.0, 1.0)).model_copy(update=changed)]) == []


def test_the_first_rollout_with_all_its_passes_is_left_out_of_the_time() -> None:
    four = cell("una_online", {**RLOO, "num_iterations": 2}, (9.0, 8.0, 2.0, 1.0))
    assert ladder.measured(four)["seconds"] == (2.0 + 1.0) / 4


def test_a_training_of_one_rollout_counts_whole() -> None:
    assert ladder.measured(cell("rloo", RLOO, (8.0,)))["seconds"] == 2.0


def test_a_response_counts_once_however_often_it_is_trained_on() -> None:
    assert ladder.measured(cell("rloo", {**RLOO, "num_iterations": 2}, (1.0,) * 4))["operations"] == 2.0


def given(distinct: int, steps: int) -> dict[str, float]:
    facts = {"responses_trained": 4 * steps, "responses_distinct": distinct}
    return ladder.measured(
        cell(
            "dpo", {}, (1.0,) * steps, facts=facts, phase_seconds={"reference": 16.0}
        )  # a pass over all that are given
    )


def test_the_reference_pass_before_training_is_in_the_time_of_its_responses() -> None:
    assert given(8, 2) == {"seconds": 0.25 + 2.0, "operations": 2.0, "bytes": 8.0}


def test_operations_of_a_reference_pass_over_more_than_is_trained_on_are_unknown() -> None:
    assert given(16, 2) == {"seconds": 0.25 + 1.0, "bytes": 8.0}


def test_a_record_without_steps_has_no_time() -> None:
    assert "seconds" not in ladder.measured(cell("rloo", RLOO, (1.0,), plain_steps=StepSamples()))
