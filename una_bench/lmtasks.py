"""Finds and loads lm-eval's tasks by name, group or leaderboard, once for all models of a suite."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench import lmnames
from una_bench.errors import UserError, nearest
from una_bench.leaderboard_groups import GROUPS, Entry
from una_bench.lmeval import Harness, Loaded, Options, reason
from una_bench.lmlimit import restrict
from una_bench.lmscores import named

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict


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
    found = [*([include] if include else []), *(lmnames.collection() / folder for folder in sorted(folders))]
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
