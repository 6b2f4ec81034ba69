"""lm-eval's tasks by name, group or leaderboard, loaded once for all models of a suite, in full or with a limit."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError, nearest
from una_bench.evaluation import task_names
from una_bench.evaluation.harness import Harness, Loaded, Options, reason
from una_bench.evaluation.leaderboards import FOLDERS, GROUPS, Entry
from una_bench.evaluation.scores import named

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict


def spread(sizes: dict[str, int], limit: int) -> dict[str, list[int]]:
    """Choose ``limit`` documents of all tasks together, the first ones of evenly spaced tasks; return their numbers.

    ``sizes`` are the documents of each task, in the group's order; a task without any chosen one is left out.
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


def _prune(group: Any, chosen: dict[str, list[int]]) -> None:
    """Remove tasks that are not run, and groups left without tasks."""
    for name in list(group.child_names):
        child = group.get(name)
        if hasattr(child, "get_all_tasks"):
            _prune(child, chosen)
            empty = not child.get_all_tasks()
        else:
            empty = name not in chosen
        if empty:
            group.pop(name)


def load(names: Sequence[str], include: Sequence[Path], options: Options) -> Harness:
    """Load tasks by lm-eval's or a leaderboard's name, also from the folders ``include``; no names: all of ``include``.

    lm-eval's thousands of tasks are indexed only if needed. An unknown name is a UserError.
    """
    from lm_eval.tasks import TaskManager

    # Only the suite's own folder and those of leaderboards are indexed, instead of all of lm-eval's.
    used = {FOLDERS.get(entry.task, entry.task) for name in names for entry in GROUPS.get(name, ())}
    folders = [*include, *(task_names.collection() / folder for folder in sorted(used))]
    manager = TaskManager(include_path=folders or None, include_defaults=False)
    entries = _entries(list(names) or list(manager.all_tasks))
    if any(name not in manager.task_index for name in entries):
        manager = TaskManager(include_path=list(include) or None)
    harness = Harness(options=options, leaderboards=[name for name in names if name in GROUPS])
    for name, entry in entries.items():
        if name not in manager.task_index:
            choices = [*GROUPS, *manager.task_index]
            raise UserError(f"lm-eval has no task '{name}'.{nearest(name, choices)} `lm_eval ls tasks` lists all.")
        harness.first_metric[name] = named(*entry.metrics[0].split(",")) if entry else _first_metric(manager, name)
        try:
            harness.loaded[name] = _load(manager, name, entry, options)
        except Exception as error:  # a missing dataset or package must not stop the other tasks
            logging.getLogger(__name__).exception("%s could not be loaded", name)
            harness.not_run[name] = reason(error)
    return harness


def _entries(names: Sequence[str]) -> dict[str, Entry | None]:
    """Return lm-eval's names in order, each with its entry if it is part of a requested leaderboard."""
    entries: dict[str, Entry | None] = {}
    for name in names:
        entries |= {entry.task: entry for entry in GROUPS.get(name, ())}
        if name not in GROUPS:
            entries.setdefault(name, None)
    return entries


def _first_metric(manager: TaskManager, name: str) -> str:
    """Return the metric (with filter) that lm-eval will report first, according to the task's file."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    settings = manager.task_index[name].cfg or {}
    listed = settings.get("aggregate_metric_list") or settings.get("metric_list")
    if listed:
        first = listed if isinstance(listed, dict) else listed[0]
        metric = str(first["metric"]).rpartition(".")[2]  # a custom metric is a path to a function
        filters = settings.get("filter_list") or [{"name": "none"}]
        return named(metric, filters[0]["name"])
    return str(DEFAULT_METRIC_REGISTRY.get(settings.get("output_type"), ["score"])[0])


def _load(manager: TaskManager, name: str, entry: Entry | None, options: Options) -> Loaded:
    """Load one task or group, with the few-shot examples that the leaderboard or lm-eval's command line sets."""
    tasks: TaskDict = manager.load([name])
    shots = entry.shots if entry else options.num_fewshot
    for task in tasks["tasks"].values():
        default = task.get_config("num_fewshot")
        if shots is None:
            task.set_config(key="num_fewshot", value=default or 0)
        elif default != 0:  # a task with an explicit 0 stays zero-shot
            task.set_config(key="num_fewshot", value=shots)
    samples, seen = None, ""
    if options.limit_per == "task" and options.limit is not None:
        sizes = {name: len(task.eval_docs) for name, task in tasks["tasks"].items()}
        limit = options.limit if options.limit >= 1 else options.limit * sum(sizes.values())
        samples = spread(sizes, max(1, math.ceil(limit)))
        for without_documents in set(sizes) - set(samples):
            del tasks["tasks"][without_documents]
        for group in tasks["groups"].values():
            _prune(group, samples)
        tasks["groups"] = {key: group for key, group in tasks["groups"].items() if group.get_all_tasks()}
        seen = f"{sum(map(len, samples.values()))} of {sum(sizes.values())} documents"
        seen += f" in {len(samples)} of {len(sizes)} sub-tasks" if len(sizes) > 1 else ""
    for task in tasks["tasks"].values():
        _build_once(task)
    return Loaded(tasks=tasks, samples=samples, entry=entry, seen=seen)


def _build_once(task: Any) -> None:
    """Let a task build its requests for the first model only; later models reuse them, without the answers."""
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def build_or_reuse(**settings: Any) -> None:
        key = repr({k: v for k, v in settings.items() if k != "chat_template"})
        if key not in built:
            build(**settings)
            built[key] = task._instances
        else:
            for instance in built[key]:
                instance.resps, instance.filtered_resps = [], {}
            task._instances = built[key]

    task.build_all_requests = build_or_reuse
