"""Functions that jobs run on the nodes: one task in a pool of one worker, and the check of the shared folders.

The pool gives the task the same fork server, allocator and limits as on one machine, so that it measures the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from una_bench.machine import hardware
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.orchestration.slurm.task_files import TaskFiles
from una_bench.record.schema import Status

STEP_SECONDS = 2.0
"""Least time between two messages of progress, which a shared file system has to carry."""


def check(marks: Sequence[str]) -> None:
    """Write the files that the command looks for in the folders that nodes must see."""
    for mark in marks:
        Path(mark).write_text(os.uname().nodename, encoding="utf-8")


def run(  # noqa: PLR0913 - what the command knows of the task and of the recipe
    task: Task, *, batch: str, index: int, threads: int, processes: int, trainers: Sequence[str], cuda: bool
) -> None:
    """Carry out a task if its ticket is still this job's, and write its outcome.

    Before the time limit, the task saves its state and the job is requeued. On SIGTERM it saves its state and leaves no
    outcome: Slurm knows whether the job was canceled or will start again.
    """
    files = TaskFiles(task.log)
    ticket = files.ticket()
    if (ticket.get("batch"), ticket.get("index")) != (batch, index) or files.outcome(task):
        return
    pool = Pool(
        workers=1,
        threads=threads,
        processes=processes,
        listen=_Listener(files),
        trainers=trainers,
        cards=hardware.cards() if cuda else (),
    )
    # Where Slurm assigns no cores, the kernel shares them among jobs better than each job's own choice would.
    pool.pinned = len(hardware.usable_cores()) < (os.cpu_count() or 1)
    signals: list[int] = []

    def stop(number: int, *_: Any) -> None:
        signals.append(number)
        pool.stop()

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)
    _on_time_limit(lambda: stop(signal.SIGUSR2))
    task.timeout_seconds = max(1.0, task.timeout_seconds - files.used_seconds())
    began = time.monotonic()
    outcomes: list[Outcome] = []
    pool.run([task], outcomes.append)
    if outcomes and outcomes[0].status is not Status.INTERRUPTED:
        outcomes[0].seconds += files.used_seconds()
        files.write_outcome(outcomes[0])
        return
    files.add_used(time.monotonic() - began)
    if signals[:1] == [signal.SIGUSR2]:
        _requeue(task, files)
    sys.exit(1)


def _on_time_limit(stop: Any) -> None:
    """Call ``stop`` on the signal that Slurm sends to every process of a job before its time limit.

    It stays blocked in the workers, which inherit the mask, and whose default would be to die of it. A thread of a
    library that was loaded before may still take it, and then the handler is called.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    def wait() -> None:
        signal.sigwait({signal.SIGUSR2})
        stop()

    threading.Thread(target=wait, name="time limit", daemon=True).start()


def _requeue(task: Task, files: TaskFiles) -> None:
    job = os.environ["SLURM_JOB_ID"]
    files.send("say", f"{task.name}: job {job} reached its time limit, saved its state and is requeued")
    ended = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = f"job {job} reached its time limit and could not be requeued: {ended.stderr.strip()}"
        files.write_outcome(Outcome(task=task, status=Status.INTERRUPTED, reason=reason, seconds=files.used_seconds()))


class _Listener:
    """Messages of the worker into the file of progress."""

    def __init__(self, files: TaskFiles) -> None:
        self.files = files
        self.last_step = 0.0

    def __call__(self, task: Task, kind: str, content: Any) -> None:
        now = time.monotonic()
        if kind == "step":
            if now - self.last_step < STEP_SECONDS:
                return
            self.last_step = now
        self.files.send(kind, content)
