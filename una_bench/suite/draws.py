"""Draws of a problem: plans that differ in the problem's seeds alone."""

from __future__ import annotations

from una_bench.interfaces import registry
from una_bench.suite import plan as plans
from una_bench.suite.plan import Plan
from una_bench.suite.recipe import Recipe


def of(plan: Plan) -> list[Plan]:
    """Return the plan of each draw, with the same methods, seeds and preparing code; the first is ``plan`` itself."""
    return [plan, *(_draw(plan, number) for number in range(1, plan.recipe.draws))]


def _draw(plan: Plan, number: int) -> Plan:
    problem = registry.problem(plan.recipe.problem)
    moved = {name: getattr(problem, name) + number for name in problem.drawn}
    recipe = plan.recipe.model_copy(update={"problem": {**plan.recipe.problem, **moved}, "draws": 1})
    return plans.make(recipe).prepared_by(plan.preparation)


def about(recipe: Recipe) -> str:
    """Return what the draws of a recipe draw, in words."""
    drawn = registry.problem_type(str(recipe.problem["kind"])).drawn
    seeds = " and ".join(f"{name} ({parts})" for name, parts in drawn.items())
    return f"{recipe.draws} of the problem; draw k adds k to its {seeds}"
