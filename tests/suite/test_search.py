"""Trials of tuning: equal for every method, reproducible, and apart from everything that is reported."""

from __future__ import annotations

import pytest

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback
from una_bench.interfaces.search_space import Range
from una_bench.suite import plan as plans
from una_bench.suite import recipe as recipes
from una_bench.suite import search
from una_bench.suite.plan import Plan

METHODS = ("dpo", "una_score", "una_binary", "ppo")


def planned(*changes: str, methods: tuple[str, ...] = METHODS, seeds: tuple[int, ...] = (0,)) -> Plan:
    return plans.make(recipes.load("exact", ["tune.trials=4", *changes]), methods, seeds, device="cpu")


def drawn(plan: Plan) -> dict[tuple[str, str], list[dict[str, float]]]:
    return {(s.method, s.variant): [t.drawn for t in s.trials] for s in search.searches(plan)}


def test_every_method_and_variant_has_the_same_number_of_trials() -> None:
    trials = drawn(planned())
    assert {key[0] for key in trials} == set(METHODS)
    assert ("una_binary", "loss_type=mse") in trials and ("una_binary", "loss_type=bce") in trials
    assert {len(each) for each in trials.values()} == {4}


def test_every_method_has_the_same_quantiles() -> None:
    """All of them have the same learning rate and strength in this suite, under whatever name."""
    values = {tuple(tuple(trial.values()) for trial in trials) for trials in drawn(planned()).values()}
    assert len(values) == 1


def test_more_trials_keep_those_that_were_drawn_before() -> None:
    four, eight = drawn(planned()), drawn(planned("tune.trials=8"))
    assert all(eight[key][:4] == trials for key, trials in four.items())


def test_another_seed_draws_others() -> None:
    assert drawn(planned()) != drawn(planned("tune.seed=1"))


def test_draws_are_even_on_a_log_scale() -> None:
    limits, values = Range(1e-4, 1e-2), [t["learning_rate"] for t in drawn(planned("tune.trials=400"))["dpo", ""]]
    assert all(limits.low <= value <= limits.high for value in values)
    assert sum(value < 1e-3 for value in values) / 400 == pytest.approx(0.5, abs=0.07)


def test_a_value_in_the_outer_tenth_is_at_the_edge() -> None:
    limits = Range(1e-4, 1e-2)
    assert [limits.at_edge(value) for value in (1.1e-4, 2e-4, 1e-3, 5e-3, 9e-3)] == [True, False, False, False, True]


@pytest.mark.parametrize("name", [n for n in registry.method_names() if registry.method(n).feedback != Feedback.NONE])
def test_every_method_has_a_space_that_it_accepts(name: str) -> None:
    [one, *_] = search.searches(planned(methods=(name,)))
    assert "learning_rate" in one.space
    assert all(limits.low < limits.high for limits in one.space.values())


def test_trials_and_winners_share_no_seed() -> None:
    plan = planned(seeds=(0, 1, 2))
    trials = search.trial_plan(plan, search.searches(plan))
    assert not {cell.seed for cell in trials.cells} & set(plan.recipe.seeds)


def test_trials_are_measured_only_by_what_chooses_or_reads_the_training() -> None:
    plan = planned()
    names = search.trial_plan(plan, search.searches(plan)).recipe.benchmarks.keys()
    assert {"oracle", "memory"} <= names and "leaderboard" not in names


def test_a_trial_may_have_a_share_of_the_budget() -> None:
    plan = planned("tune.budget_share=0.25")
    assert search.trial_plan(plan, search.searches(plan)).recipe.budget.given() == {"responses": 16384}


def test_a_suite_without_tuning_keeps_its_keys() -> None:
    """Keys as they were before there was tuning."""
    plan = plans.make(recipes.load("ci"), ["dpo"], [0], device="cpu")
    changed = recipes.load("ci").model_copy(update={"tune": recipes.Tune()})
    assert plans.make(changed, ["dpo"], [0], device="cpu").cells[-1].key == plan.cells[-1].key
    assert "validation_prompts" not in plans.identity_of(plan.recipe)["problem"]


def test_winners_become_a_recipe_of_the_same_cells() -> None:
    plan = planned(methods=("dpo", "una_binary"))
    searched = search.searches(plan)
    tuned = search.tuned_plan(plan, {(s.method, s.variant): s.trials[1].method for s in searched})
    again = plans.make(tuned.recipe, device="cpu")
    assert {c.key for c in again.cells} == {c.key for c in tuned.cells}
    assert all(c.facts["tuning"]["trials"] == 4 for c in tuned.cells if c.trains)


BAD: list[tuple[list[str], str]] = [
    (["tune.space.dpo.beta=[1,0.1]"], "[1, 0.1] is no range: give two numbers above 0, the lower first"),
    (["tune.space.dpo.beta=[1,1]"], "[1, 1] is no range"),
    (["tune.space.dpo.beta=[0,1]"], "[0, 1] is no range"),
    (["tune.space.dpo.betta=[0.1,1]"], "DPO has no setting 'betta'. Did you mean 'beta'?"),
    (["tune.space.dpo.loss_type=[0.1,1]"], "must be a setting that is a number; in this suite it is sigmoid"),
    (["tune.space.ppo.gamma=[0.5,2]"], "gamma' is 2.0"),
    (["tune.space.kto.beta=[0.1,1]"], "tune.space has ranges for 'kto', which is not run."),
    (["tune.trials=1"], "'tune.trials' is 1"),
    (["tune.trails=4"], "there is no key 'tune.trails'. Did you mean 'trials'?"),
    (["tune.metric=oracle.regret.heldout"], "tune.metric=oracle.regret.heldout is reported in the table"),
    (["tune.metric=preference.accuracy.validation"], "is not measured on validation data by this suite"),
    (["problem.validation_prompts=0"], "problem.validation_prompts is 0. Raise it; for a bundle, when you create it."),
    (["problem.validation_prompts=50"], "leave fewer than 2 of 64 prompts to train on"),
    (["benchmarks.oracle=null"], "measures validation data, so that nothing can be chosen by it. Add one of: "),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[" ".join(c) for c, _ in BAD])
def test_a_search_that_makes_no_sense_is_refused(changes: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        search.searches(planned(*changes))
    assert message in str(caught.value)


def test_a_seed_of_the_trials_is_refused_for_the_winners() -> None:
    with pytest.raises(UserError, match="seed 10000 is one of the trials'"):
        search.searches(planned(seeds=(10_000,)))
