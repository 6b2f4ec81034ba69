"""Executor that submits each task as a Slurm job; the jobs outlive the command, which finds them when given again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.orchestration.executor import Listener, Outcome, Task, log_tail
from una_bench.orchestration.slurm import job, queue, submission
from una_bench.orchestration.slurm.task_files import TaskFiles, digest
from una_bench.record.schema import Status
from una_bench.suite.recipe import Recipe

POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0
"""Time for the outcome of a job that Slurm no longer runs to become visible on a shared file system, or for Slurm to
show that the job is requeued."""
NO_ANSWER = "Slurm does not answer. Waiting for it"
MOST_JOBS = 1000
"""Jobs of one array: Slurm's default ``MaxArraySize``, less one."""


@dataclass
class _Submitted:
    task: Task
    batch: str
    job: str
    since: float
    offset: int = 0
    """Bytes of the progress that were read."""
    started: bool = False
    step: int | None = None
    pending: str = ""
    """Reason for waiting that the user was told."""
    ended: float = 0.0
    """When it was first seen without a job."""

    @property
    def files(self) -> TaskFiles:
        return TaskFiles(self.task.log)


class SlurmExecutor:
    """Slurm jobs, at most ``workers`` of a run at once."""

    separate = True
    stop_note = "Stopping: the jobs stay in Slurm's queue, and the same command collects them."

    def __init__(
        self, recipe: Recipe, run: Path, *, listen: Listener, trainers: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        """Take the recipe's ``workers``, ``threads`` and ``slurm``; ``run`` is the folder of the run."""
        self.workers, self.threads, self.processes = recipe.at_once, recipe.threads, recipe.processes
        self.recipe, self.folder = recipe, run.resolve() / "slurm"
        self.listen, self.trainers, self.cuda = listen, tuple(trainers), device == "cuda"
        self.stopping = self.at_once = False
        self.import_seconds = 0.0
        self.queue = queue.Queue()
        self._submitted: dict[Path, _Submitted] = {}

    def stop(self) -> None:
        """Submit no more; the jobs go on."""
        self.stopping = True

    def give_up(self) -> None:
        """Cancel the jobs, which save their state."""
        self.stop()
        for batch in self._batches():
            self.queue.cancel(batch, [s.job for s in self._submitted.values() if s.batch == batch])
        for submitted in self._submitted.values():
            submitted.files.clear()
        self._submitted.clear()

    def holds(self, task: Task) -> bool:
        """Return whether an earlier call submitted this task and its job is in the queue, or has left an outcome."""
        if task.log in self._submitted:
            return True
        files = TaskFiles(task.log)
        ticket = files.ticket()
        if not ticket:
            return False
        batch, same = str(ticket["batch"]), ticket["digest"] == digest(task)
        name = submission.job_of(self.folder, batch, int(ticket["index"]))
        if same and name and (files.outcome(task) or self._live(batch, name)):
            self._submitted[task.log] = _Submitted(task, batch, name, time.monotonic())
            return True
        if not name or self._live(batch, name):
            self.queue.cancel(batch, [name] if name else [])
        files.clear()
        return False

    def _live(self, batch: str, name: str) -> bool:
        """Return whether a job is in the queue; wait for an answer of Slurm."""
        while batch not in self.queue.batches:
            if self.stopping:
                raise KeyboardInterrupt
            answered = self.queue.answers
            if not self.queue.refresh({batch, *self.queue.batches}, now=True):
                if answered:
                    self.say(NO_ANSWER)
                time.sleep(POLL_SECONDS)
        return self.queue.state(name).live

    def run(self, tasks: list[Task], done: Callable[[Outcome], None]) -> None:
        """Submit the tasks that no earlier call submitted, and tell ``done`` of each as it ends."""
        began = time.monotonic()
        waiting = [task for task in tasks if not self.holds(task)]
        while (self._submitted or waiting) and not self.stopping:
            if waiting and len(self._submitted) < MOST_JOBS:
                room = MOST_JOBS - len(self._submitted)
                self._submit(waiting[:room])
                waiting = waiting[room:]
            for submitted, outcome in self._poll():
                self.import_seconds = self.import_seconds or time.monotonic() - began
                self._submitted.pop(submitted.task.log, None)  # `done` of another may have given up
                submitted.files.clear()  # before the record is written: a killed command repeats the task at worst
                submission.tidy(self.folder, submitted.job, keep=outcome.status is not Status.OK)
                done(outcome)
            time.sleep(POLL_SECONDS)
        if self.stopping and self._submitted:
            names = ",".join(sorted(self._batches()))
            self.say(f"{len(self._submitted)} jobs are left in the queue. To cancel them: scancel --name={names}")
            self._submitted.clear()

    def _submit(self, tasks: list[Task]) -> None:
        """Submit tasks as an array, so that with those of earlier calls at most ``workers`` run."""
        batch = submission.new_batch()
        for index, task in enumerate(tasks):
            TaskFiles(task.log.resolve()).write_ticket(task, batch, index)
        calls = [
            (job.run, {"task": _resolved(task), "batch": batch, "index": index, **self._common()})
            for index, task in enumerate(tasks)
        ]
        try:
            names = submission.submit(
                calls,
                batch=batch,
                folder=self.folder,
                recipe=self.recipe,
                at_once=max(1, self.workers - len(self._submitted)),
            )
        except UserError:
            for task in tasks:
                TaskFiles(task.log).clear()
            raise
        for task, name in zip(tasks, names, strict=True):
            self._submitted[task.log] = _Submitted(task, batch, name, time.monotonic())
        self.queue.refresh(self._batches(), now=True)
        self.say(f"Submitted {len(tasks)} {'job' if len(tasks) == 1 else 'jobs'} to Slurm: {batch}")

    def _batches(self) -> set[str]:
        return {submitted.batch for submitted in self._submitted.values()}

    def _common(self) -> dict[str, Any]:
        shape = {"threads": self.threads, "processes": self.processes}
        return {**shape, "trainers": self.trainers, "cuda": self.cuda}

    def _poll(self) -> list[tuple[_Submitted, Outcome]]:
        answered = self.queue.answers
        fresh = self.queue.refresh(self._batches())
        if answered != self.queue.answers:
            self.say("Slurm answers again" if self.queue.answers else NO_ANSWER)
        ended = []
        for submitted in self._submitted.values():
            state = self.queue.state(submitted.job)
            if state.name == "PENDING" and not submitted.started:
                outcome = self._waits(submitted, state) if fresh else None
            else:
                outcome = self._hear(submitted, state)
            if outcome is not None:
                ended.append((submitted, outcome))
        return ended

    def _waits(self, submitted: _Submitted, state: queue.State) -> Outcome | None:
        """Tell why a job waits; end one that never starts."""
        now, limit = time.monotonic(), self.recipe.slurm.start_minutes if self.recipe.slurm else None
        if state.reason == queue.SIBLINGS:
            submitted.since = now
        elif state.reason in queue.NEVER:
            return self._cannot_start(submitted, Status.FAILED, f"cannot start: {state.reason}")
        elif limit is not None and now - submitted.since > limit * 60:
            reason = f"did not start within {limit:g} minutes: {state.reason}"
            return self._cannot_start(submitted, Status.TIMEOUT, reason)
        elif state.reason not in {"None", "Priority", "Resources", submitted.pending}:
            submitted.pending = state.reason
            self.say(f"{submitted.task.name}: job {submitted.job} waits ({state.reason})")
        return None

    def _cannot_start(self, submitted: _Submitted, status: Status, reason: str) -> Outcome:
        self.queue.cancel(submitted.batch, [submitted.job])
        return Outcome(task=submitted.task, status=status, reason=f"Slurm job {submitted.job} {reason}")

    def _hear(self, submitted: _Submitted, state: queue.State) -> Outcome | None:
        """Pass on the messages of a job; return its outcome once it has one, or cannot have one any more."""
        messages, submitted.offset = submitted.files.messages(submitted.offset)
        for kind, content in messages:
            if kind == "step":
                submitted.step = content["step"]
            if kind != "start" or not submitted.started:  # a requeued job starts again
                self.listen(submitted.task, kind, content)
            submitted.started = True
        outcome = submitted.files.outcome(submitted.task)
        if outcome is not None or state.live or not self.queue.answers:
            submitted.ended = 0.0
            return outcome
        now = time.monotonic()
        submitted.ended = submitted.ended or now
        if now - submitted.ended < GRACE_SECONDS:
            list(submitted.task.log.parent.iterdir())  # NFS then asks the server for new files
            return None
        status, reason = state.verdict(submitted.job)
        log = submission.log_of(self.folder, submitted.job)
        tail = log_tail(submitted.task.log) or log_tail(log)
        return Outcome(task=submitted.task, status=status, reason=reason, step=submitted.step, log_tail=tail)

    def say(self, text: str) -> None:
        """Tell the user one line."""
        self.listen(Task(kind="", name="", spec={}, log=self.folder, timeout_seconds=math.inf), "say", text)


def _resolved(task: Task) -> Task:
    """Return the task with an absolute path of its log, for another process."""
    return Task(**{**vars(task), "log": task.log.resolve()})
