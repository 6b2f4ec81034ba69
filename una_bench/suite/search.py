"""Trials of tuning: settings drawn at random from each method's space, and the plans of trials and winners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from una_bench.errors import UserError, nearest
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.method import Feedback, Method
from una_bench.interfaces.search_space import Range, Times
from una_bench.suite import plan as plans
from una_bench.suite import recipe as recipes
from una_bench.suite import tune_settings
from una_bench.suite.plan import Cell, Plan
from una_bench.suite.recipe import Budget, Recipe
from una_bench.suite.tune_settings import FIRST_SEED, MOST_TRIALS, Tune

Name = tuple[str, str]
"""Method and variant at the suite's own settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Settings of one trial of one method, as drawn."""

    drawn: dict[str, float]
    method: Method
    seeds: tuple[int, ...]

    def variant(self, of: str) -> str:
        """Return the name of the trial among the variants of its method."""
        return ",".join(filter(None, (of, *(f"{name}={value:g}" for name, value in self.drawn.items()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All trials of one method and variant."""

    method: str
    variant: str
    label: str
    space: dict[str, Range]
    trials: tuple[Trial, ...]


def searches(plan: Plan) -> list[Search]:
    """Draw the trials of every method of a plan with ``tune``: the same quantiles for all of them.

    Raises:
        UserError: A range does not fit its method, or is for a method that is not run.
    """
    recipe, tune = plan.recipe, plan.recipe.tune
    assert tune is not None
    names = [name for name in recipe.methods if registry.method(name).feedback is not Feedback.NONE]
    tune_settings.check_methods(tune, names, recipe.seeds, recipe.name)
    return [
        _search(recipe, tune, name, method, variant)
        for name in names
        for method, variant in plans.named_variants(recipe, name)
    ]


def _search(recipe: Recipe, tune: Tune, name: str, method: Method, variant: str) -> Search:
    space = _space(recipe, tune, name, method)
    trials = []
    for number in range(tune.trials):
        draws = Random(f"{tune.seed} {number}")  # a text, as Random's own mixing of text is the same on every machine
        drawn = {setting: limits.at(draws.random()) for setting, limits in space.items()}
        whole = {key: round(value) if _whole(method, key) else value for key, value in drawn.items()}
        settings = recipes.checked_settings(type(method), {**method.settings(), **whole}, recipe.name, f"{name}.")
        seeds = tuple(FIRST_SEED + MOST_TRIALS * i + number for i in range(tune.seeds))
        trials.append(Trial(drawn=whole, method=settings, seeds=seeds))
    return Search(method=name, variant=variant, label=method.display, space=space, trials=tuple(trials))


def _whole(method: Method, setting: str) -> bool:
    return isinstance(method.settings()[setting], int)


def _space(recipe: Recipe, tune: Tune, name: str, method: Method) -> dict[str, Range]:
    """Return the ranges of a method; the learning rate comes first, so that it has the same quantiles everywhere."""
    settings, cls = method.settings(), type(method)
    given = {setting: Range(*ends) for setting, ends in tune.space.get(name, {}).items()}
    ranges: dict[str, Range] = {}
    for setting, limits in {**cls.search, **given}.items():
        where = f"{recipe.name}: tune.space.{name}.{setting}"
        if setting not in settings:
            if setting not in given:
                continue
            raise UserError(
                f"{where}: {method.label} has no setting '{setting}'.{nearest(setting, settings)} "
                f"`una-bench show {name}` lists them."
            )
        value = settings[setting]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{where} must be a setting that is a number; in this suite it is {value}.")
        if isinstance(limits, Times):
            if not value:  # switched off by the suite
                continue
            limits = limits.around(value)
        for end in (limits.low, limits.high):
            fitting = round(end) if isinstance(value, int) else end
            recipes.checked_settings(cls, {**settings, setting: fitting}, recipe.name, f"tune.space.{name}.")
        ranges[setting] = limits
    return ranges


def trial_plan(plan: Plan, searched: Sequence[Search]) -> Plan:
    """Return the plan of all trials: benchmarks that choose or read the training, and the budget of a trial."""
    recipe, tune = plan.recipe, plan.recipe.tune
    assert tune is not None
    metric = tune_settings.check_metric(tune, recipe.benchmarks, recipe.name)
    kinds = {name: registry.benchmark(name) for name in recipe.benchmarks}
    expected = {name: dict(figures) for name, figures in recipe.expected.items() if name != "setup"}
    for name in expected.keys() - {"evaluation"}:
        if "seconds" in expected[name]:
            expected[name]["seconds"] *= tune.budget_share
    changed = {
        "budget": _share(recipe.budget, tune.budget_share),
        "benchmarks": {
            name: settings
            for name, settings in recipe.benchmarks.items()
            if kinds[name].evaluate is Benchmark.evaluate or metric in kinds[name].chooses
        },
        "evaluate_points": 0,
        "expected": expected,
    }
    entries = [
        (search.method, trial.method, trial.variant(search.variant), seed)
        for search in searched
        for trial in search.trials
        for seed in trial.seeds
    ]
    trials = plans.of_entries(recipe.model_copy(update=changed), entries, plan.most_workers)
    return trials.prepared_by(plan.preparation)


def _share(budget: Budget, share: float) -> Budget:
    ((kind, amount),) = budget.given().items()
    return Budget.model_validate({kind: max(1, round(amount * share)) if isinstance(amount, int) else amount * share})


def cells_of(search: Search, trials: Plan) -> list[list[Cell]]:
    """Return the cells of each trial of a search."""
    by_name = {(cell.method, cell.variant, cell.seed): cell for cell in trials.cells}
    return [
        [by_name[search.method, trial.variant(search.variant), seed] for seed in trial.seeds] for trial in search.trials
    ]


def plans_of(plan: Plan, searched: Sequence[Search]) -> tuple[Plan, Plan]:
    """Return the plan of the trials, and one of winners that are not known yet: of the first trial of each search."""
    first = {(one.method, one.variant): one.trials[0].method for one in searched}
    return trial_plan(plan, searched), tuned_plan(plan, first)


def tuned_plan(plan: Plan, winners: Mapping[Name, Method]) -> Plan:
    """Return the plan of the winners with the suite's seeds; its recipe has their settings and no ``tune``."""
    tune = plan.recipe.tune
    assert tune is not None
    fact = {"tuning": {"trials": tune.trials, "trainings_per_trial": tune.seeds, "budget_share": tune.budget_share}}
    names = [n for n in plan.recipe.methods if n in {m for m, _ in winners}]
    settings: dict[str, tuple[dict[str, Any], ...]] = {
        name: tuple(_given(method, plan.recipe) for (of, _), method in winners.items() if of == name) for name in names
    }
    untrained = [n for n in plan.recipe.methods if registry.method(n).feedback is Feedback.NONE]
    entries = [(n, registry.method(n)(), "", plan.recipe.seeds[0]) for n in untrained]
    entries += [(name, of, variant, seed) for seed in plan.recipe.seeds for (name, variant), of in winners.items()]
    tuned = plans.of_entries(plan.recipe, entries, plan.most_workers).prepared_by(plan.preparation)
    cells = tuple(replace(cell, facts=fact) if cell.trains else cell for cell in tuned.cells)
    update = {"settings": settings, "methods": tuple(names), "tune": None, "workers": tuned.recipe.workers}
    return replace(tuned, recipe=plan.recipe.model_copy(update=update), cells=cells)


def _given(method: Method, recipe: Recipe) -> dict[str, Any]:
    """Return the settings that neither the method's defaults nor the recipe's ``training`` give."""
    usual = {**type(method)().settings(), **recipe.training}
    return {name: value for name, value in method.settings().items() if value != usual[name]}
