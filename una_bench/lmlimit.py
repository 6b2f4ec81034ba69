"""Fewer documents: as lm-eval limits them, so many for each sub-task, or so many for a whole group, spread evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
