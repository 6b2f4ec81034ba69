"""Slurm's queue: states of jobs by ``squeue``, and their end by ``scancel``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from typing import NamedTuple

from una_bench.record.schema import Status

REFRESH_SECONDS = 5.0
"""Least age of a listing before the next one; ten times the time that it took, if that is more."""
CANCEL_SECONDS = 120.0
"""Time for canceled jobs to save their state and leave the queue."""
LIVE = {"PENDING", "RUNNING", "SUSPENDED", "STOPPED", "CONFIGURING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"}
LIVE |= {"REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "REVOKED", "RESV_DEL_HOLD"}
NEVER = {"BadConstraints", "PartitionTimeLimit", "PartitionNodeLimit", "InvalidAccount", "InvalidQOS", "JobHeldAdmin"}
NEVER |= {"AccountNotAllowed", "QOSNotAllowed", "DependencyNeverSatisfied", "launch_failed_requeued_held"}
"""Reasons for which a job waits until somebody changes it or the cluster."""
SIBLINGS = "JobArrayTaskLimit"
"""Reason of jobs that wait because ``workers`` others run."""
VERDICTS = {
    "CANCELLED": (Status.INTERRUPTED, "was canceled"),
    "PREEMPTED": (Status.INTERRUPTED, "was preempted and not requeued"),
    "TIMEOUT": (Status.TIMEOUT, "reached Slurm's time limit before it could save its state"),
    "DEADLINE": (Status.TIMEOUT, "reached its deadline"),
    "OUT_OF_MEMORY": (Status.OUT_OF_MEMORY, "used more memory than Slurm gave it"),
    "NODE_FAIL": (Status.KILLED, "ended with its node, and was not requeued"),
    "BOOT_FAIL": (Status.KILLED, "ended because its node did not boot"),
}
"""Last state of a job without an outcome -> status, and what happened to it."""


class State(NamedTuple):
    """State of a job and, while it waits, the reason."""

    name: str
    reason: str = ""

    @property
    def live(self) -> bool:
        """Return whether the job can still write an outcome."""
        return self.name in LIVE

    def verdict(self, job: str) -> tuple[Status, str]:
        """Return status and reason of a task whose job ended without an outcome."""
        unexplained = (Status.FAILED, f"ended ({self.name or 'no longer in the queue'}) without a result")
        status, text = VERDICTS.get(self.name, unexplained)
        return status, f"Slurm job {job} {text}"


class Queue:
    """Listing of this user's jobs, by the names of their batches."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._listed = float("-inf")
        self._pause = REFRESH_SECONDS
        self.batches: frozenset[str] = frozenset()
        """Batches in the last listing."""
        self.answers = True
        """Whether the controller answered the last question."""

    def refresh(self, batches: Iterable[str], *, now: bool = False) -> bool:
        """List the jobs of ``batches`` if the last listing is old (or ``now``); return whether there is a new one."""
        began = time.monotonic()
        if not now and began - self._listed < self._pause:
            return False
        self._listed = began
        command = ["squeue", "--noheader", "--me", "--array", "--states=all", "--format=%i|%T|%r"]
        names = ",".join(sorted(batches := frozenset(batches)))
        try:
            listing = subprocess.run(
                [*command, f"--name={names}"], capture_output=True, text=True, check=True, timeout=120
            ).stdout
        except (OSError, subprocess.SubprocessError):
            self.answers = False
            return False
        self._pause = max(REFRESH_SECONDS, 10 * (time.monotonic() - began))
        self.answers, self.batches = True, batches
        fields = (line.strip().split("|", 2) for line in listing.splitlines() if line.count("|") >= 2)
        self._states = {job: State(state, reason) for job, state, reason in fields}
        return True

    def state(self, job: str) -> State:
        """Return the state of a job in the last listing."""
        return self._states.get(job, State(""))

    def cancel(self, batch: str, jobs: Iterable[str] = ()) -> None:
        """Cancel jobs of a batch (default: all) and wait until they have left their nodes."""
        ids = set(jobs)
        subprocess.run(["scancel", *(ids or [f"--name={batch}"])], capture_output=True, check=False)
        end = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < end:
            if self.refresh([batch], now=True) and not any(
                state.live for job, state in self._states.items() if not ids or job in ids
            ):
                return
            time.sleep(0.5)
