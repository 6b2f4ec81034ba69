"""Command ``reproduce``: run the suite of a paper and compare the results with its numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from una_bench.cli import launch, messages

if TYPE_CHECKING:
    from rich.console import Console

    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.runner import Finished
    from una_bench.orchestration.tuning import Stage
    from una_bench.suite.plan import Plan
    from una_bench.suite.presets import Chosen
    from una_bench.suite.recipe import Recipe


def reproduce(  # noqa: PLR0913 - one parameter an option
    suite: Annotated[str, typer.Argument(help="A suite that reproduces a paper: una-table1, una-table4, or a file.")],
    preset: Annotated[str, typer.Option(help="Settings: paper, authors_code or controlled.")] = "",
    scale: Annotated[str, typer.Option(help="`small`: a small model, to test that the suite runs.")] = "",
    set_: launch.Changes = [],  # noqa: B006
    out: launch.Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the hours, memory and disk needed.")] = False,
    retry: launch.Retry = "",
    offline: launch.Offline = False,
    keep_old_code: launch.KeepOldCode = False,
    executor: launch.Executor = "local",
    slurm: launch.Slurm = "",
    quiet: launch.Quiet = False,
) -> None:
    """Run the suite of a paper and compare each number with ours; run it again to resume."""
    from rich.console import Console

    from una_bench.cli import results as ends
    from una_bench.orchestration import engines
    from una_bench.reproduction import published_numbers, targets
    from una_bench.suite import capacity, slurm_settings
    from una_bench.suite import plan as plans
    from una_bench.suite import recipe as recipes

    launch.begin(retry, offline)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    choice = [f"{key}={value}" for key, value in (("preset", preset), ("scale", scale)) if value]
    engine = launch.engine(executor, slurm)
    chosen = recipes.choose(suite, [*choice, *set_, *slurm_settings.changes(slurm)])
    aim = targets.target(chosen.reproduces, suite)
    published = published_numbers.load()
    for name in aim.tables:
        published.table(name)
    for name in aim.claims:
        published.claim(name)
    recipe = recipes.validate(chosen.raw, chosen.source)

    def results(stage: Stage) -> None:
        finished = stage.finished
        if finished.records:
            ends.show(console, finished, baseline="", differences=False)
        if not finished.stopped:
            _show(console, finished, chosen, recipe)

    def here(folder: RunFolder) -> capacity.Machine:
        return capacity.here(recipe.device, folder.path)

    def require(plan: Plan, folder: RunFolder) -> None:
        if engine is engines.Engine.LOCAL:  # a job runs on a node, of which this machine knows nothing
            capacity.require(plan, here(folder))

    launch.launch(
        plans.make(recipe, device=engines.device(recipe, engine), most_workers=engines.most_workers(engine)),
        out=out,
        dry_run=dry_run,
        keep_old_code=keep_old_code,
        predict=lambda plan, folder, _: capacity.show(console, plan, aim.assumed, here(folder)),
        require=require,
        show=results,
        quiet=quiet,
        executor=engine,
        retry_failed=bool(retry),
    )


def _show(console: Console, finished: Finished, chosen: Chosen, recipe: Recipe) -> None:
    """Print the comparison with the published numbers, and save it beside the records."""
    from una_bench.record import reader, storage
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
    for note in reader.only_first(finished.run):
        messages.note(note)
    console.print(f"Saved: {finished.run / 'reproduction.md'} and .csv", markup=False)
