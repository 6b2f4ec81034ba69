"""Pool of worker processes from a fork server; every end of a process becomes an outcome."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from una_bench.machine import hardware
from una_bench.orchestration import process_environment
from una_bench.orchestration.executor import Listener, Outcome, Task, log_tail
from una_bench.record.schema import Status
from una_bench.worker import entry

HANG_SECONDS = 120.0
"""Least time without a step after which a training counts as hung."""
HANG_FACTOR = 20


@dataclass
class _Running:
    task: Task
    process: BaseProcess
    pipe: Connection
    started: float
    slot: int
    result: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    stopped: bool = False
    done: float = 0.0
    step: int | None = None
    heard: float = 0.0
    longest_wait: float = 0.0


class Pool:
    """Pool of at most ``workers`` processes; each task gets a new process that shares only imports."""

    separate = False
    stop_note = "Stopping: cells save their state. Interrupt again to stop at once."

    def __init__(  # noqa: PLR0913 - what a worker may use, and what it shares with others
        self,
        *,
        workers: int,
        threads: int,
        listen: Listener,
        preload: Sequence[str] = ("una_bench.worker.preload",),
        trainers: Sequence[str] = (),
        cards: Sequence[str] = (),
        processes: int = 1,
    ) -> None:
        """Configure the fork server, which starts with the first task and imports ``preload`` once.

        Each worker has as many of ``cards`` to itself as a task has ``processes``. ``threads`` are those
        of each of the ``processes`` of a task; `una_bench.worker.preload` imports ``trainers``, too: modules that the
        run's methods declare.
        """
        self.threads = threads
        self.trainers = tuple(trainers)
        self.listen = listen
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(preload))
        self.processes = processes
        groups = range(0, len(cards) - processes + 1, processes)
        self.cards = tuple(",".join(cards[i : i + processes]) for i in groups)
        self.pinned = True
        """Whether each worker has cores of its own."""
        self.workers = min(workers, hardware.most_workers(threads * processes, len(self.cards)))
        self._cores: list[list[int]] = []
        self._running: list[_Running] = []
        self.stopping = False
        self.at_once = False
        """Whether to end without waiting; Python drops a KeyboardInterrupt that is raised in a destructor."""
        self.import_seconds = 0.0
        """Duration of the first start of a process, which includes the fork server's imports."""

    def stop(self) -> None:
        """Start no more tasks, and ask running ones to save their state and stop."""
        self.stopping = True
        for running in self._running:
            running.process.terminate()

    def give_up(self) -> None:
        """End running tasks, which save their state."""
        self.stop()

    def holds(self, task: Task) -> bool:
        """Return False: no process outlives the command that started it."""
        return False

    def run(self, tasks: list[Task], done: Callable[[Outcome], None]) -> None:
        """Run all tasks; ``done`` is told of each as it ends. Children are killed if this is interrupted."""
        cores = hardware.idle_first(hardware.usable_cores())
        each = self.threads * self.processes
        self._cores = [cores[i * each :][:each] for i in range(self.workers)]
        waiting = list(tasks)
        try:
            while self._running or (waiting and not self.stopping):
                if self.at_once:
                    raise KeyboardInterrupt
                while waiting and len(self._running) < self.workers and not self.stopping:
                    self._start(waiting.pop(0))
                for outcome in self._poll():
                    done(outcome)
        finally:
            for running in self._running:
                self._kill(running)
            self._running.clear()

    def _start(self, task: Task) -> None:
        slot = next(i for i in range(self.workers) if i not in {r.slot for r in self._running})
        cores = [core for of_slot in self._cores for core in of_slot] if task.alone else self._cores[slot]
        spec = {**task.spec, "threads": self.threads, "cores": cores if self.pinned else []}
        if self.cards:  # a trainer of a preparation would spread its batches over several
            spec["card"] = self.cards[slot] if task.kind == "train" else self.cards[slot].partition(",")[0]
        began = time.monotonic()
        receiver, sender = self.context.Pipe(duplex=False)
        unwarned = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), process_environment.UNWARNED)))
        with process_environment.environment({"PYTHONWARNINGS": unwarned}):
            resource_tracker.ensure_running()  # before the signals are blocked, because it would unblock them
        for_workers = process_environment.for_workers(self.threads, self.trainers)
        with process_environment.environment(for_workers), process_environment.deaf():
            forkserver.ensure_running()
        with process_environment.environment(for_workers):
            process = self.context.Process(
                target=entry.main, args=(task.kind, spec, sender, str(task.log)), daemon=True, name=task.name
            )
            process.start()
        self.import_seconds = self.import_seconds or time.monotonic() - began
        sender.close()
        self._running.append(_Running(task, process, receiver, time.monotonic(), slot))
        if self.stopping:  # stopped while the fork server was importing
            process.terminate()
        self.listen(task, "start", None)

    def _poll(self) -> list[Outcome]:
        wait([r.pipe for r in self._running if not r.pipe.closed] + [r.process.sentinel for r in self._running], 0.5)
        outcomes = []
        for running in list(self._running):
            self._hear(running)
            late = _lateness(running)
            if late and running.process.is_alive():
                self._kill(running)
            if not running.process.is_alive():
                running.process.join()
                self._hear(running)
                self._running.remove(running)
                outcomes.append(self._outcome(running, late=late))
        return outcomes

    def _hear(self, running: _Running) -> None:
        try:
            while not running.pipe.closed and running.pipe.poll():
                kind, content = running.pipe.recv()
                if kind == "done":
                    running.result = content
                elif kind == "failed":
                    running.failure = content
                elif kind == "stopped":
                    running.stopped = True
                else:
                    if kind == "step":
                        _note_step(running, content)
                    self.listen(running.task, kind, content)
        except (EOFError, OSError):
            running.pipe.close()

    @staticmethod
    def _kill(running: _Running) -> None:
        running.process.kill()
        running.process.join()

    def _outcome(self, running: _Running, *, late: str) -> Outcome:
        status, reason = _verdict(running, late=late, asked=self.stopping)
        return Outcome(
            task=running.task,
            status=status,
            result=running.result or {},
            reason=reason,
            phase=(running.failure or {}).get("phase", ""),
            step=(running.failure or {}).get("step", running.step),
            log_tail=() if status is Status.OK else log_tail(running.task.log),
            seconds=time.monotonic() - running.started,
        )


def _note_step(running: _Running, content: Mapping[str, Any]) -> None:
    """Update the progress and the longest time between two steps."""
    now = time.monotonic()
    if running.heard:
        running.longest_wait = max(running.longest_wait, now - running.heard)
    running.heard, running.done, running.step = now, content["done"], content["step"]


def _lateness(running: _Running) -> str:
    """Return why a process counts as hung, empty if it does not."""
    now = time.monotonic()
    if now - running.started > running.task.timeout_seconds:
        return f"took longer than {running.task.timeout_seconds:.0f} s"
    if not running.longest_wait or running.done >= 1:
        return ""  # before the second step or after the last
    patience = max(HANG_SECONDS, HANG_FACTOR * running.longest_wait)
    if now - running.heard > patience:
        return f"no step for {patience:.0f} s, {HANG_FACTOR} times the longest wait before (hang)"
    return ""


def _verdict(running: _Running, *, late: str, asked: bool) -> tuple[Status, str]:
    """Return status and reason of an ended process; ``asked`` says whether it was asked to stop."""
    code = running.process.exitcode or 0
    if running.result is not None and code == 0:
        return Status.OK, ""
    if running.stopped:
        return Status.INTERRUPTED, "stopped on request"
    if late:
        return Status.TIMEOUT, late
    if running.failure is not None:
        reason = running.failure["reason"]
        if running.failure["type"] == "Killed":  # one of several processes of a training
            return Status.KILLED, reason
        if running.failure["type"] in {"OutOfMemoryError", "MemoryError"} or "can't allocate memory" in reason:
            return Status.OUT_OF_MEMORY, reason
        return (Status.DIVERGED if running.failure["type"] == "Diverged" else Status.FAILED), reason
    if asked and code != -signal.SIGKILL:  # the signal came before the worker handled signals
        return Status.INTERRUPTED, "stopped on request"
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", which the kernel sends when memory runs out" if -code == signal.SIGKILL else ""
        return Status.KILLED, f"killed by {name}{hint}"
    return Status.FAILED, f"the process ended with status {code} and no result"
