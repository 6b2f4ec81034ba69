"""Check that jobs see the folder of a run and the cache: a job writes files, and the command looks for them."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from una_bench.errors import UserError
from una_bench.orchestration.executor import log_tail
from una_bench.orchestration.slurm import job, queue, submission
from una_bench.orchestration.slurm.executor import GRACE_SECONDS, SlurmExecutor
from una_bench.record import storage


def check(executor: SlurmExecutor, cache: Path) -> None:
    """Let a job write to the folder of the run and to the cache, once for each run and cache.

    Raises:
        UserError: A node does not see one of them.
    """
    passed = executor.folder / "shared.json"
    if storage.read_json(passed) == {"cache": str(cache)}:
        return
    executor.folder.mkdir(parents=True, exist_ok=True)
    marks = [folder / f".seen-by-a-job-{uuid.uuid4().hex[:8]}" for folder in (executor.folder, cache)]
    batch = submission.new_batch()
    call = (job.check, {"marks": [str(mark) for mark in marks]})
    (name,) = submission.submit([call], batch=batch, folder=executor.folder, recipe=executor.recipe, at_once=1)
    executor.say(f"Checking that jobs see the run's folder and the cache: job {name}")
    ended = 0.0
    try:
        while not all(mark.exists() for mark in marks):
            if executor.stopping:
                raise KeyboardInterrupt
            executor.queue.refresh([batch])
            state = executor.queue.state(name)
            if state.reason in queue.NEVER and state.name == "PENDING":
                executor.queue.cancel(batch, [name])
                raise UserError(f"Slurm job {name} cannot start: {state.reason}. Change --slurm.")
            ended = 0.0 if state.live or not executor.queue.answers else ended or time.monotonic()
            if ended and time.monotonic() - ended > GRACE_SECONDS:
                raise _unseen(executor, name, state, [mark.parent for mark in marks if not mark.exists()])
            time.sleep(0.5)
            for mark in marks:
                list(mark.parent.iterdir())  # NFS then asks the server for new files
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
    submission.tidy(executor.folder, name, keep=False)
    storage.write_json(passed, {"cache": str(cache)})


def _unseen(executor: SlurmExecutor, name: str, state: queue.State, unseen: list[Path]) -> UserError:
    lines = log_tail(submission.log_of(executor.folder, name))
    last = f" Its log ends with: {lines[-1]}" if lines else ""
    return UserError(
        f"Slurm job {name} ended ({state.name or 'no longer in the queue'}) and wrote nothing to "
        f"{' and '.join(map(str, unseen))}. Its node does not see this, or not this installation of una-bench.{last} "
        "Choose an --out, and a folder UNA_BENCH_CACHE, on a file system that all nodes share. No cell was submitted."
    )
