"""Files by which a job and the command that submitted it tell each other of one task; they lie beside its log.

``train.ticket.json``    which job may carry out the task
``train.progress.jsonl`` messages of the worker, one per line
``train.used.json``      time that the task used before requeues
``train.outcome.json``   how it ended
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from una_bench.orchestration.executor import Outcome, Task
from una_bench.record import storage
from una_bench.record.hashes import content_hash
from una_bench.record.schema import Status


@dataclass(frozen=True)
class TaskFiles:
    """Files of one task."""

    log: Path

    def _path(self, part: str) -> Path:
        return self.log.with_suffix(f".{part}")

    def ticket(self) -> dict[str, Any]:
        """Return batch, index in it, and digest of the task; empty without a ticket."""
        return storage.read_json(self._path("ticket.json")) or {}

    def write_ticket(self, task: Task, batch: str, index: int) -> None:
        """Give the task to one job; another that still waits for it ends when it starts."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.clear()
        storage.write_json(self._path("ticket.json"), {"batch": batch, "index": index, "digest": digest(task)})

    def clear(self) -> None:
        """Remove all files but the log."""
        for part in ("ticket.json", "progress.jsonl", "used.json", "outcome.json"):
            self._path(part).unlink(missing_ok=True)

    def send(self, kind: str, content: Any) -> None:
        """Append a message."""
        with suppress(OSError), self._path("progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([kind, content]) + "\n")

    def messages(self, offset: int) -> tuple[list[tuple[str, Any]], int]:
        """Return complete messages from ``offset`` on, and the offset after them."""
        try:
            with self._path("progress.jsonl").open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return [], offset
        complete = text[: text.rfind(b"\n") + 1]
        return [tuple(json.loads(line)) for line in complete.splitlines()], offset + len(complete)

    def used_seconds(self) -> float:
        """Return the time that the task used before requeues."""
        return float((storage.read_json(self._path("used.json")) or {"seconds": 0.0})["seconds"])

    def add_used(self, seconds: float) -> None:
        """Add the time of one process that saved its state."""
        storage.write_json(self._path("used.json"), {"seconds": self.used_seconds() + seconds})

    def write_outcome(self, outcome: Outcome) -> None:
        """Write how the task ended."""
        fields = {name: value for name, value in asdict(outcome).items() if name != "task"}
        storage.write_json(self._path("outcome.json"), fields)

    def outcome(self, task: Task) -> Outcome | None:
        """Return how the task ended, None while it has not."""
        fields = storage.read_json(self._path("outcome.json"))
        if fields is None:
            return None
        status, tail = Status(fields.pop("status")), tuple(fields.pop("log_tail"))
        return Outcome(task=task, status=status, log_tail=tail, **fields)


def digest(task: Task) -> str:
    """Return a hash of what a task does."""
    return content_hash({"kind": task.kind, "name": task.name, "spec": task.spec})
