"""Shared preparation of a suite, created once and cached under a content key."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock, Timeout
from rich.markup import escape

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.orchestration.executor import Executor, Outcome, Task
from una_bench.record import sealed_folder, storage
from una_bench.record.hashes import content_hash
from una_bench.record.schema import Status
from una_bench.suite import plan as plans
from una_bench.suite.plan import Plan

SHARED = {
    "policy": "policy",
    "reward": "reward",
    "responses.parquet": "data",
    "responses_heldout.parquet": "heldout",
    "responses_validation.parquet": "heldout",
    "prompts.parquet": "heldout",
}
"""File or folder of a prepared suite -> part of the fact ``prepared``; the others are ``other``."""


def folder_of(plan: Plan) -> Path:
    """Return the folder of the prepared suite of a plan."""
    name = f"{plan.recipe.problem['kind']}-{plan.problem_key}-{plan.preparation}"
    return storage.cache_folder() / "prepared" / name


def check(plan: Plan) -> None:
    """Raise `UserError` if the cache cannot be written; leave nothing in it."""
    cache = folder_of(plan).parent
    missing = [folder for folder in (cache, *cache.parents) if not folder.exists()]
    _make_room(cache)
    for folder in missing:
        with suppress(OSError):  # another run may use it already
            folder.rmdir()


def _make_room(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The cache {cache} cannot be written: {error.strerror}. Set UNA_BENCH_CACHE to a writable folder."
        ) from None


def ensure(plan: Plan, pool: Executor, *, log: Path, say: Callable[[str], None]) -> Prepared:
    """Return the prepared suite, after preparing it in a worker if necessary; safe for concurrent runs."""
    folder = folder_of(plan)
    _make_room(folder.parent)
    with _alone(folder, pool, say):
        damage = sealed_folder.damage(folder)
        if damage:
            if folder.exists():
                say(f"Preparing the suite again, because its folder in the cache is damaged: {damage}")
            _make(plan, folder, pool, log=log, say=say)
    prepared = Prepared(folder)
    for note in prepared.manifest.get("notes", ()):
        say(escape(note))
    return prepared


def facts(plan: Plan, prepared: Prepared) -> dict[str, Any]:
    """Return the fact ``prepared`` of records: key of the problem, hash of each part of it, names of the sources."""
    hashes: dict[str, dict[str, str]] = {}
    for name, value in prepared.manifest.get("hashes", {}).items():
        part = "data" if name.startswith("responses_for_") else SHARED.get(name, "other")
        hashes.setdefault(part, {})[name] = value
    settings = plan.recipe.problem
    reward = settings.get("reward_model")
    sources = {
        "policy": settings.get("policy"),
        "data": settings.get("dataset") or settings.get("prompts"),
        "heldout": settings.get("heldout"),
        "reward": settings.get("reward_function")
        or ((reward.get("name") or reward.get("init")) if isinstance(reward, dict) else None),
    }
    names = {part: source.get("source") if isinstance(source, dict) else source for part, source in sources.items()}
    return {
        "problem": plan.problem_key,
        **{part: next(iter(of.values())) if len(of) == 1 else content_hash(of) for part, of in hashes.items()},
        "names": {part: PurePath(name).name for part, name in names.items() if isinstance(name, str) and name},
    }


@contextmanager
def _alone(folder: Path, pool: Executor, say: Callable[[str], None]) -> Iterator[None]:
    """Lock ``folder`` for preparation; wait while another run has the lock, unless stopped."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("Waiting for another run that is preparing the same suite")
        while not lock.is_locked:
            if pool.stopping:
                raise KeyboardInterrupt from None
            with suppress(Timeout):
                lock.acquire(timeout=0.5)
    try:
        yield
    finally:
        lock.release()


def _make(plan: Plan, folder: Path, pool: Executor, *, log: Path, say: Callable[[str], None]) -> None:
    """Remove the remains of a killed preparation, prepare in a task, and seal the folder."""
    if plan.preparation != plans.preparation_of(plan.recipe):
        raise UserError(
            f"The prepared suite {folder} is damaged. It was made by other code, so it cannot be made again. "
            "Leave out --keep-old-code to prepare the suite with this code."
        )
    spec = {"out": str(folder), "problem": plan.recipe.problem}
    limit = plan.recipe.timeout_minutes * 60
    task = Task(kind="prepare", name="prepare", spec=spec, log=log, timeout_seconds=limit, alone=True)
    if not pool.holds(task):
        for leftover in (folder, *folder.parent.glob(f".{folder.name}.*")):
            shutil.rmtree(leftover, ignore_errors=True)
    say(f"Preparing the suite {plan.recipe.name} (once; kept in the cache)")
    outcomes: list[Outcome] = []
    pool.run([task], outcomes.append)
    if not outcomes or outcomes[0].status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if outcomes[0].status is not Status.OK:
        reason = outcomes[0].reason.rstrip(".")
        raise UserError(
            f"The suite could not be prepared: {reason}. The log is {log}. Fix this, then run the same command again."
        )
    sealed_folder.write(folder)
