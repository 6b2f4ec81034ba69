"""Interface of what carries out tasks: worker processes of this machine, or jobs of a cluster.

Another engine is a class with the members of `Executor` and a line in `una_bench.orchestration.engines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from una_bench.record.schema import Status

TAIL_LINES, TAIL_BYTES = 20, 2**16


@dataclass(kw_only=True)
class Task:
    """One piece of work for one process."""

    kind: str
    """``prepare``, ``train`` or ``evaluate`` of `una_bench.worker.entry`, or another ``module:function``."""
    name: str
    spec: Mapping[str, Any]
    log: Path
    timeout_seconds: float
    alone: bool = False
    """Whether it may use the cores of all workers, because nothing else runs."""


@dataclass(kw_only=True)
class Outcome:
    """Result of a task."""

    task: Task
    status: Status
    result: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    phase: str = ""
    """Phase in which it failed, if the worker reported it."""
    step: int | None = None
    """Last reported number of optimizer steps."""
    log_tail: tuple[str, ...] = ()
    seconds: float = 0.0


Listener = Callable[[Task, str, Any], None]
"""(task, kind of message, content): ``start``, ``step``, ``say``, ``begin``, ``end``."""


class Executor(Protocol):
    """What the runner needs of an engine. All methods are called from the process that the user started."""

    workers: int
    """Most tasks that run at the same time."""
    stopping: bool
    """Whether `stop` or `give_up` was called."""
    at_once: bool
    """Set by the runner to end without waiting."""
    import_seconds: float
    """Time until the first task of this call began; 0 if none did."""
    separate: bool
    """Whether each evaluation is a task of its own; else as many cells as possible share a process."""
    stop_note: str
    """What happens to running tasks after `stop`, for the user."""

    def run(self, tasks: list[Task], done: Callable[[Outcome], None]) -> None:
        """Carry out all tasks; ``done`` is told of each as it ends. Return early once `stopping`."""

    def holds(self, task: Task) -> bool:
        """Return whether an earlier call already began exactly this task, so that its files must not be cleared.

        What an earlier call began for the same log with another specification is ended first.
        """

    def stop(self) -> None:
        """Begin no more tasks; running ones save their state, or go on where they outlive the command."""

    def give_up(self) -> None:
        """Begin no more tasks, and end the running ones."""


def log_tail(log: Path) -> tuple[str, ...]:
    """Return the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return tuple(file.read(TAIL_BYTES).decode(errors="replace").splitlines()[-TAIL_LINES:])
    except OSError:
        return ()
