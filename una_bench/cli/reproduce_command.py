"""Command ``reproduce``: run the suite of a paper and compare the results with its numbers."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from una_bench.orchestration.runner import Finished
    from una_bench.suite.presets import Chosen
    from una_bench.suite.recipe import Recipe


def reproduce(  # noqa: PLR0913 - one parameter an option
    suite: Annotated[str, typer.Argument(help="A suite that reproduces a paper: una-table1, una-table4, or a file.")],
    preset: Annotated[str, typer.Option(help="Settings: paper, authors_code or controlled.")] = "",
    scale: Annotated[str, typer.Option(help="`small`: a small model, to test that the suite runs.")] = "",
    set_: Annotated[list[str], typer.Option("--set", help="Change one key: problem.dataset=FILE.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: results/runs/SUITE-KEY.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the hours, memory and disk needed.")] = False,
    retry: Annotated[str, typer.Option(help="`failed`: repeat cells that failed.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection; list what is missing.")] = False,
    keep_old_code: Annotated[
        bool, typer.Option("--keep-old-code", help="Keep cells that were trained before the code changed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Run the suite of a paper and compare each number with ours; run it again to resume."""
    from rich.console import Console

    from una_bench.cli import messages, show
    from una_bench.errors import UserError
    from una_bench.machine.hardware import require_device
    from una_bench.models import offline as offlines
    from una_bench.orchestration import code_changes, missing_inputs, preparation
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.runner import Options, Runner
    from una_bench.reproduction import published_numbers, targets
    from una_bench.suite import capacity
    from una_bench.suite import plan as plans
    from una_bench.suite import recipe as recipes

    if retry not in {"", "failed"}:
        raise UserError(f"--retry {retry} is not supported. Use --retry failed.")
    if offline:
        offlines.enable()
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    choice = [f"{key}={value}" for key, value in (("preset", preset), ("scale", scale)) if value]
    chosen = recipes.choose(suite, [*choice, *set_])
    aim = targets.target(chosen.reproduces, suite)
    published = published_numbers.load()
    for name in aim.tables:
        published.table(name)
    for name in aim.claims:
        published.claim(name)
    recipe = recipes.validate(chosen.raw, chosen.source)
    plan = plans.make(recipe)
    folder = RunFolder(out) if out else RunFolder.default(plan)
    if keep_old_code:
        plan = code_changes.keep(plan, folder)
    machine = capacity.here(recipe.device, folder.path)
    for line in code_changes.notes(plan, folder):
        messages.note(line)
    if dry_run:
        capacity.show(console, plan, aim.assumed, machine)
        return
    require_device(recipe.device)
    capacity.require(plan, machine)
    for need in missing_inputs.check(plan):
        typer.echo(need.note(), err=True)
    preparation.check(plan)
    folder.check(plan)
    command = shlex.join(["una-bench", *sys.argv[1:]])
    options = Options(quiet=quiet, retry_failed=retry == "failed", command=command)
    with messages.stoppable(command):
        finished = Runner(plan, folder, options).run()
        if finished.records:
            show.results(console, finished, baseline="", differences=False)
        if not finished.stopped:
            _show(console, finished, chosen, recipe)
    if finished.stopped:
        raise messages.stopped(command, finished.waiting)
    if finished.failed:
        raise typer.Exit(3)


def _show(console: Console, finished: Finished, chosen: Chosen, recipe: Recipe) -> None:
    """Print the comparison with the published numbers, and save it beside the records."""
    from una_bench.record import storage
    from una_bench.reporting.tables import render
    from una_bench.reporting.tables.terminal import Terminal
    from una_bench.reproduction import comparison, published_numbers, targets
    from una_bench.suite import recipe as recipes
    from una_bench.suite import recipe_diff

    preset = recipes.load(chosen.source, [f"preset={chosen.preset}"] if chosen.preset else [])
    keys = recipe_diff.changed(recipe, preset)
    apart = f"{chosen.scale} scale, another model and data" if chosen.scale else ""
    apart = apart or (f"changed: {', '.join(keys)}" if keys else "")
    aim = targets.target(chosen.reproduces, recipe.name)
    table = comparison.table(finished.records, aim, published_numbers.load(), name=recipe.name, apart=apart)
    storage.write_text(finished.run / "reproduction.md", render.markdown(table))
    storage.write_text(finished.run / "reproduction.csv", render.csv(table))
    console.print(Terminal(table))
    console.print(f"Saved: {finished.run / 'reproduction.md'} and .csv", markup=False)
