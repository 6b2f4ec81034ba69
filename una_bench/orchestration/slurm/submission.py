"""Submission of calls to Slurm by submitit, and what tells which job carries out which call."""

from __future__ import annotations

import importlib.util
import math
import shutil
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.record import storage
from una_bench.suite.recipe import Recipe
from una_bench.suite.slurm_settings import Slurm

SPARE_MINUTES = 10
"""Time of a job beside that of its task: starting Python, imports, saving."""
SAVE_SECONDS = 90
"""Time between Slurm's warning and the time limit of a job; a sixth of the limit, if that is less."""
PACKAGE = "submitit"


def require() -> None:
    """Raise `UserError` where jobs cannot be submitted."""
    missing = [program for program in ("sbatch", "squeue", "scancel", "scontrol", "srun") if not shutil.which(program)]
    if missing:
        raise UserError(
            f"--executor slurm: there is no {missing[0]} on this machine. Run the command where jobs are submitted, "
            "or leave out --executor."
        )
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError(
            "--executor slurm needs the package submitit. Install it: python -m pip install 'una-bench[slurm]'."
        )


def new_batch() -> str:
    """Return a name for the jobs of one submission, by which they are found even if their number was never learned."""
    return f"una-bench-{uuid.uuid4().hex[:8]}"


def submit(
    calls: Sequence[tuple[Callable[..., None], Mapping[str, Any]]],
    *,
    batch: str,
    folder: Path,
    recipe: Recipe,
    at_once: int,
) -> list[str]:
    """Submit calls as one array of which ``at_once`` run, note its number in ``folder``, and return the jobs' ids."""
    import submitit

    folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=0)
    executor.update_parameters(**_parameters(recipe), job_name=batch, array_parallelism=at_once)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):  # submitit prints what sbatch says
            warnings.simplefilter("ignore")
            with executor.batch():
                jobs = [executor.submit(function, **arguments) for function, arguments in calls]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
        lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in str(error).splitlines()]
        reason = "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip())) or type(error).__name__
        raise UserError(
            f"Slurm refused the jobs: {reason}. Change --slurm if that is the cause, then run the same command again."
        ) from None
    ids = [str(job.job_id) for job in jobs]
    storage.write_json(folder / f"{batch}.json", {"jobs": ids})
    return ids


def job_of(folder: Path, batch: str, index: int) -> str:
    """Return the id of a job, empty if the command was killed before it learned that."""
    jobs = (storage.read_json(folder / f"{batch}.json") or {}).get("jobs", [])
    return str(jobs[index]) if index < len(jobs) else ""


def log_of(folder: Path, job: str) -> Path:
    """Return the file with the standard error of a job, as submitit names it."""
    return folder / f"{job}_0_log.err"


def tidy(folder: Path, job: str, *, keep: bool) -> None:
    """Remove submitit's files of a job that ended, but ``keep`` its logs."""
    for path in folder.glob(f"{job}_*"):
        if not (keep and "_log." in path.name):
            path.unlink(missing_ok=True)


def _parameters(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of jobs by submitit's names."""
    slurm = recipe.slurm or Slurm()
    minutes = slurm.time or math.ceil(recipe.timeout_minutes) + SPARE_MINUTES
    cores = slurm.cpus_per_task or recipe.threads * recipe.processes
    given = slurm.model_dump(exclude={"time", "cpus_per_task", "setup", "start_minutes", "reservation"})
    others = {"requeue": True, "reservation": slurm.reservation}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "time": minutes,
        "cpus_per_task": cores,
        "setup": list(slurm.setup) or None,
        "signal_delay_s": min(SAVE_SECONDS, minutes * 10),
        "srun_args": [f"--cpus-per-task={cores}"],  # srun takes it from its own arguments only
        "additional_parameters": {name: value for name, value in others.items() if value is not None},
    }
