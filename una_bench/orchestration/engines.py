"""Choice of the engine that carries out the tasks of a run."""

from __future__ import annotations

from enum import StrEnum

from una_bench.interfaces import registry
from una_bench.machine import hardware
from una_bench.orchestration.executor import Executor, Listener
from una_bench.orchestration.process_pool import Pool
from una_bench.orchestration.run_folder import RunFolder
from una_bench.orchestration.slurm import shared_folders, submission
from una_bench.orchestration.slurm.executor import MOST_JOBS, SlurmExecutor
from una_bench.record import storage
from una_bench.suite import processes, sharding
from una_bench.suite.recipe import Recipe
from una_bench.suite.slurm_settings import Slurm


class Engine(StrEnum):
    """Where tasks are carried out."""

    LOCAL = "local"
    SLURM = "slurm"


def require(engine: Engine, recipe: Recipe) -> None:
    """Raise `UserError` where the engine, or locally the recipe's device, is missing."""
    if engine is Engine.SLURM:
        submission.require()
        processes.require_job(recipe)
        sharding.require_machine(recipe, device(recipe, engine))
    else:
        hardware.require_device(recipe.device)
        sharding.require_machine(recipe, hardware.resolve_device(recipe.device))
        processes.require_machine(recipe, hardware.resolve_device(recipe.device))


def device(recipe: Recipe, engine: Engine) -> str:
    """Return the device of the tasks; on a cluster ``auto`` is ``cuda`` if jobs ask for cards."""
    if engine is Engine.SLURM and recipe.device == "auto":
        return (recipe.slurm or Slurm()).device
    return hardware.resolve_device(recipe.device)


def most_workers(engine: Engine) -> int | None:
    """Return the most tasks at the same time where that is not for this machine to say: a cluster's queue bounds it."""
    return MOST_JOBS if engine is Engine.SLURM else None


def make(engine: Engine, recipe: Recipe, folder: RunFolder, *, listen: Listener, device: str) -> Executor:
    """Return the engine for one run."""
    trainers = [module for name in recipe.methods for module in registry.method(name).preload]
    if engine is Engine.SLURM:
        return SlurmExecutor(recipe, folder.path, listen=listen, trainers=trainers, device=device)
    cards = hardware.cards() if device == "cuda" else ()
    return Pool(
        workers=recipe.at_once,
        threads=recipe.threads,
        processes=recipe.processes,
        listen=listen,
        trainers=trainers,
        cards=cards,
    )


def check(executor: Executor) -> None:
    """Raise `UserError` if tasks of ``executor`` would not see the folder of the run or the cache."""
    if isinstance(executor, SlurmExecutor):
        shared_folders.check(executor, storage.cache_folder().resolve())
