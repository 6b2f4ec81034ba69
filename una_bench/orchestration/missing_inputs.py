"""Models, data and packages that a suite needs and this machine lacks."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

from una_bench.evaluation import task_names
from una_bench.evaluation.leaderboards import GROUPS
from una_bench.interfaces import registry
from una_bench.models import hub, offline
from una_bench.models.offline import Need
from una_bench.orchestration import preparation
from una_bench.suite.plan import Plan

PACKAGES = {
    "leaderboard_ifeval": ("langdetect", "immutabledict", "nltk"),
    "leaderboard_math_hard": ("math_verify", "latex2sympy2_extended", "antlr4"),
}
"""Packages that lm-eval needs for a task beyond its own dependencies."""


@runtime_checkable
class Needy(Protocol):
    """A problem that can list its missing inputs."""

    def needs(self) -> list[Need]:
        """Return what is missing on this machine, without using the network."""


def check(plan: Plan) -> list[Need]:
    """Check the inputs of a plan and return those missing for tasks, which will then show "not run".

    Raise `UserError` if the problem lacks inputs that are not downloaded automatically, or lm-eval knows no such task.
    """
    folder = preparation.folder_of(plan)
    prepared = (folder / "manifest.json").is_file()
    problem = registry.problem(plan.recipe.problem)
    if isinstance(problem, Needy) and not prepared:
        missing = [need for need in problem.needs() if offline.is_on() or not need.automatic]
        offline.require_nothing_missing(missing, plan.recipe.name)
    tasks, own = tasks_of(plan), problem.own_tasks
    if prepared or own is not None:
        path = plan.recipe.benchmarks.get("leaderboard", {}).get("tasks_path")
        include = [*([folder / "tasks"] if prepared else []), *([Path(path).expanduser()] if path else [])]
        task_names.require_known([task for task in tasks if task not in (own or ())], include)
    return for_tasks(tasks) if offline.is_on() else []


def tasks_of(plan: Plan) -> list[str]:
    """Return the tasks and leaderboards that the benchmark ``leaderboard`` runs."""
    names = plan.recipe.benchmarks.get("leaderboard", {}).get("tasks", ())
    return [names] if isinstance(names, str) else list(names)


def for_tasks(names: Iterable[str]) -> list[Need]:
    """Return the missing data and packages of the named leaderboards."""
    missing: dict[str, Need] = {}
    for entry in (entry for name in names for entry in GROUPS.get(name, ())):
        if not hub.cached_datasets(entry.data):
            command = hub.dataset_command(entry.data)
            missing[entry.data] = Need(what=f"data of {entry.name}: {entry.data}", command=command, automatic=True)
        for package in PACKAGES.get(entry.task, ()):
            if find_spec(package) is None:
                command = "pip install 'una-bench[leaderboard]'"
                missing[package] = Need(what=f"package {package} (for {entry.name})", command=command)
    return list(missing.values())
