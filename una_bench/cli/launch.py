"""Shared path of `run` and `reproduce`: their common options, the checks before a run, the run, and its end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from una_bench.cli import messages
from una_bench.errors import UserError, nearest

if TYPE_CHECKING:
    from una_bench.orchestration.engines import Engine
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.runner import Finished, Options
    from una_bench.orchestration.tuning import Stage
    from una_bench.suite.plan import Plan

Changes = Annotated[list[str], typer.Option("--set", help="Change one key, as budget.responses=4096.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run. Default: results/runs/SUITE-KEY.")]
Retry = Annotated[str, typer.Option(help="`failed`: repeat cells that failed.")]
Offline = Annotated[bool, typer.Option("--offline", help="Open no connection; list what is missing.")]
KeepOldCode = Annotated[
    bool, typer.Option("--keep-old-code", help="Keep cells that were trained before the code changed.")
]
Executor = Annotated[str, typer.Option(help="Where cells run: local, or slurm (jobs of a cluster).")]
Slurm = Annotated[str, typer.Option(help="What jobs ask of Slurm, as partition=gpu,time=60,gpus_per_node=1.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def begin(retry: str, offline: bool) -> None:
    """Refuse an unknown ``retry``, and open no connection from here on if ``offline``."""
    from una_bench.models import offline as offlines

    if retry not in {"", "failed"}:
        raise UserError(f"--retry {retry} is not supported. Use --retry failed.")
    if offline:
        offlines.enable()


def engine(executor: str, slurm: str) -> Engine:
    """Return the engine that ``--executor`` names; refuse ``--slurm`` for another."""
    from una_bench.orchestration.engines import Engine

    if executor not in set(Engine):
        raise UserError(
            f"There is no executor '{executor}'.{nearest(executor, Engine)} Choose from: {', '.join(Engine)}."
        )
    if slurm and executor != Engine.SLURM:
        raise UserError(f"--slurm {slurm}: cells run on this machine. Add --executor slurm, or leave it out.")
    return Engine(executor)


def launch(  # noqa: PLR0913 - three options, and the three parts in which the commands differ
    plan: Plan,
    *,
    out: Path | None,
    dry_run: bool,
    keep_old_code: bool,
    predict: Callable[[Plan, RunFolder, list[UserError]], None],
    require: Callable[[Plan, RunFolder], None] = lambda plan, folder: None,
    announce: Callable[[Plan, RunFolder], None] = lambda plan, folder: None,
    show: Callable[[Stage], None],
    **options: Any,
) -> None:
    """Run each draw of ``plan`` with ``options`` of the runner and ``show`` the results, or ``predict`` what it needs.

    ``predict`` adds what would stop the run, and the command then ends with status 2 as the run would. ``require``
    refuses what this machine cannot run; ``announce`` prints what a run is going to do.
    """
    from una_bench.orchestration import benchmark_checks, code_changes, engines, missing_inputs, preparation, tuning
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.runner import Options
    from una_bench.suite import draws

    folder = RunFolder(out) if out else RunFolder.default(plan)
    runs = [(of_draw, folder.draw(number)) for number, of_draw in enumerate(draws.of(plan))]
    if keep_old_code:
        runs = [(code_changes.keep(*one), one[1]) for one in runs]
    for one in runs:
        for line in code_changes.notes(*one):
            messages.note(line if one is runs[0] else f"{one[1].path.name}: {line}")
    plan = runs[0][0]
    stopped_by: list[UserError] = []
    if dry_run:
        predict(plan, folder, stopped_by)
    else:
        engines.require(options.get("executor", engines.Engine.LOCAL), plan.recipe)
        require(plan, folder)
    try:
        for need in missing_inputs.check(plan):
            messages.note(need.note())
        retry = bool(options.get("retry_failed"))
        benchmark_checks.require(plan, folder, connect=not dry_run, retry=retry)
    except UserError as error:
        if not dry_run:
            raise
        stopped_by.append(error)
    if dry_run:
        for reason in stopped_by:
            messages.note(f"This run cannot start: {reason}")
        raise typer.Exit(2 if stopped_by else 0)
    for of_draw, place in runs:
        preparation.check(of_draw)
        place.check(of_draw)
    announce(plan, folder)
    command = shlex.join(["una-bench", *sys.argv[1:]])
    with messages.stoppable(command):
        begun, failed = Options(command=command, **options), False
        first = partial(_run, runs, begun)
        for stage in tuning.stages(plan, folder, begun, first, keep_old_code=keep_old_code, note=messages.note):
            show(stage)
            failed |= stage.failed
    if stage.finished.stopped:
        raise messages.stopped(command, stage.finished.waiting)
    if failed:
        raise typer.Exit(3)


def _run(runs: Sequence[tuple[Plan, RunFolder]], options: Options) -> Finished:
    """Run the draws one after the other, and return the first with the others in it."""
    from una_bench.orchestration.runner import Runner

    results: list[Finished] = []
    for plan, folder in runs:
        if len(runs) > 1 and not options.quiet:
            messages.note(f"Draw {len(results)} of 0 to {len(runs) - 1}: {folder.path}")
        results.append(Runner(plan, folder, options).run())
        if len(runs) > 1 and (time := results[-1].time):
            time.stop()
        if results[-1].stopped or (options.fail_fast and results[-1].failed):
            break
    last = results[-1]
    return replace(results[0], stopped=last.stopped, waiting=last.waiting, draws=tuple(results[1:]))
