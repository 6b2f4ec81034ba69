"""Progress bars on standard error; one line per cell if standard error is not a terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from una_bench import formatting
from una_bench.orchestration.executor import Task


class Reporter(Progress):
    """Progress of a run."""

    def __init__(self, *, quiet: bool) -> None:
        """Write to standard error, or nothing if ``quiet``."""
        console = Console(stderr=True, quiet=quiet)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._ids: dict[str, TaskID] = {}
        self._total: TaskID | None = None
        self._cells = 0
        self._done = 0.0
        self._parts: dict[str, float] = {}
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line with the time since start."""
        seconds = int(time.monotonic() - self._started)
        clock = f"[dim]{seconds // 60:3d}:{seconds % 60:02d}[/dim]"
        self.console.print(f"{clock}  {formatting.clean(text)}", highlight=False)

    def expect(self, cells: int, description: str) -> None:
        """Open the bar of a stage with ``cells`` tasks."""
        if self._total is not None:
            self.remove_task(self._total)
        self._cells, self._done, self._parts = cells, 0.0, {}
        self._total = self.add_task(f"[bold]{description}", total=float(cells))

    def hear(self, task: Task, kind: str, content: Any) -> None:
        """Handle one message of a worker."""
        if kind == "start" and task.kind == "train":
            self._ids[task.name] = self.add_task(escape(task.name), total=1.0)
        elif kind == "step":
            self._parts[task.name] = content["done"]
            self.update(self._ids[task.name], completed=content["done"])
            self._advance()
        elif kind == "say":
            self.say(escape(str(content)))
        elif kind == "end":
            self.say(f"evaluated {escape(str(content))}")
            self._done += 1
            self._advance()

    def finish(self, name: str) -> None:
        """Close the bar of one task."""
        if name in self._ids:
            self.remove_task(self._ids.pop(name))
        self._parts.pop(name, None)
        self._done += 1
        self._advance()

    def _advance(self) -> None:
        if self._total is not None:
            self.update(self._total, completed=min(float(self._cells), self._done + sum(self._parts.values())))
