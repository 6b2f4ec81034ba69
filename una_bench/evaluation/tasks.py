"""Fewer documents: as lm-eval limits them, so many for each sub-task, or so many for a whole group, spread evenly.

Finds and loads lm-eval's tasks by name, group or leaderboard, once for all models of a suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval.tasks.manager import TaskDict
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from una_bench.errors import UserError, nearest
from una_bench.evaluation import task_names
from una_bench.evaluation.harness import Harness, Loaded, Options, reason
from una_bench.evaluation.leaderboards import GROUPS, Entry
from una_bench.evaluation.scores import named

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict


def spread(sizes: dict[str, int], limit: int) -> dict[str, list[int]]:
    """Choose ``limit`` documents of all tasks together, the first ones of tasks that lie evenly apart.

    Args:
        sizes: Documents of each task, in the group's order.
        limit: Documents to choose.

    Returns:
        Numbers of the chosen documents of each task that has any.
    """
    names = list(sizes)
    if limit < len(names):
        names = [names[round(i * len(names) / limit)] for i in range(limit)]
    chosen = dict.fromkeys(names, 0)
    left = min(limit, sum(sizes[name] for name in names))
    while left:
        for name in names:
            if left and chosen[name] < sizes[name]:
                chosen[name] += 1
                left -= 1
    return {name: list(range(count)) for name, count in chosen.items() if count}


def restrict(tasks: TaskDict, limit: int) -> dict[str, list[int]]:
    """Leave in a loaded group only the tasks that ``limit`` documents reach, and return which documents those are."""
    chosen = spread({name: len(task.eval_docs) for name, task in tasks["tasks"].items()}, limit)
    for name in set(tasks["tasks"]) - set(chosen):
        del tasks["tasks"][name]
    for group in tasks["groups"].values():
        _prune(group, chosen)
    tasks["groups"] = {name: group for name, group in tasks["groups"].items() if group.get_all_tasks()}
    return chosen


def _prune(group: Any, chosen: dict[str, list[int]]) -> None:
    """Take tasks that are not run, and groups that have none left, out of a group."""
    for name in list(group.child_names):
        child = group.get(name)
        if hasattr(child, "get_all_tasks"):
            _prune(child, chosen)
            empty = not child.get_all_tasks()
        else:
            empty = name not in chosen
        if empty:
            group.pop(name)


def load(names: Sequence[str], include: Path | None, options: Options) -> Harness:
    """Find and load tasks by lm-eval's names or a leaderboard's, and from the folder ``include``.

    No names means all tasks of ``include``. lm-eval's own thousands of tasks are only indexed where they are needed.

    Raises:
        UserError: No task, group, tag or leaderboard has such a name.
    """
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=_folders(names, include), include_defaults=False)
    wanted = _wanted(list(names) or list(manager.all_tasks))
    if any(name not in manager.task_index for name in wanted):
        manager = TaskManager(include_path=include)
    harness = Harness(options=options, leaderboards=[name for name in names if name in GROUPS])
    for name, entry in wanted.items():
        if name not in manager.task_index:
            choices = [*GROUPS, *manager.task_index]
            raise UserError(f"lm-eval has no task '{name}'.{nearest(name, choices)} `lm_eval ls tasks` lists all.")
        harness.first_metric[name] = named(*entry.metrics[0].split(",")) if entry else _first_metric(manager, name)
        try:
            harness.loaded[name] = _load(manager, name, entry, options)
        except Exception as error:  # a missing data set or package must not stop the other tasks
            logging.getLogger(__name__).exception("%s could not be loaded", name)
            harness.not_run[name] = reason(error)
    return harness


def _folders(names: Sequence[str], include: Path | None) -> list[Path] | None:
    """Folders to index: the suite's own, and those of leaderboards, instead of all that lm-eval has."""
    folders = {entry.folder for name in names for entry in GROUPS.get(name, ())}
    found = [*([include] if include else []), *(task_names.collection() / folder for folder in sorted(folders))]
    return found or None


def _wanted(names: Sequence[str]) -> dict[str, Entry | None]:
    """lm-eval's names in order, each with its place on a leaderboard that was asked for."""
    wanted: dict[str, Entry | None] = {}
    for name in names:
        if name in GROUPS:
            wanted |= {entry.task: entry for entry in GROUPS[name]}
        else:
            wanted.setdefault(name, None)
    return wanted


def _first_metric(manager: TaskManager, name: str) -> str:
    """Return what lm-eval will report first for a task, group or tag, as far as its file says: metric and filter."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    settings = manager.task_index[name].cfg or {}
    listed = settings.get("aggregate_metric_list") or settings.get("metric_list")
    if listed:
        first = listed if isinstance(listed, dict) else listed[0]
        metric = str(first["metric"]).rpartition(".")[2]  # one of the task's own is a path to a function
        filters = settings.get("filter_list") or [{"name": "none"}]
        return named(metric, filters[0]["name"])
    return str(DEFAULT_METRIC_REGISTRY.get(settings.get("output_type"), ["score"])[0])


def _load(manager: TaskManager, name: str, entry: Entry | None, options: Options) -> Loaded:
    """Load one task or group, with the number of examples that the leaderboard or lm-eval's command line gives it."""
    tasks: TaskDict = manager.load([name])
    shots = entry.shots if entry else options.num_fewshot
    for task in tasks["tasks"].values():
        own = task.get_config("num_fewshot")
        if shots is None:
            task.set_config(key="num_fewshot", value=own or 0)
        elif own != 0:  # a task that says 0 itself must stay without examples
            task.set_config(key="num_fewshot", value=shots)
    samples, seen = None, ""
    if options.limit_per == "task" and options.limit is not None:
        sizes = [len(task.eval_docs) for task in tasks["tasks"].values()]
        limit = options.limit if options.limit >= 1 else options.limit * sum(sizes)
        samples = restrict(tasks, max(1, math.ceil(limit)))
        seen = f"{sum(map(len, samples.values()))} of {sum(sizes)} documents"
        seen += f" in {len(samples)} of {len(sizes)} sub-tasks" if len(sizes) > 1 else ""
    for task in tasks["tasks"].values():
        _build_once(task)
    return Loaded(tasks=tasks, samples=samples, entry=entry, seen=seen)


def _build_once(task: Any) -> None:
    """Let a task build its requests for the first model only; later ones get the same, without the answers."""
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def again(**settings: Any) -> None:
        key = repr({k: v for k, v in settings.items() if k != "chat_template"})
        if key not in built:
            build(**settings)
            built[key] = task._instances
        else:
            for instance in built[key]:
                instance.resps, instance.filtered_resps = [], {}
            task._instances = built[key]

    task.build_all_requests = again
