"""Commands of the regression gate: compare a run with a baseline, and make a baseline from runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

baseline = typer.Typer(help="What the gate compares with.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Option("--baseline", help="File, or name of one in results/baselines.", metavar="FILE", show_default=False),
]


def gate(
    run: Annotated[Path, typer.Argument(help="Folder of a run, as `una-bench run` printed it.", metavar="RUN")],
    name: Name,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit's XML to this file.", metavar="FILE")] = None,
    annotations: Annotated[bool, typer.Option("--annotations", help="Also print GitHub's `::error` lines.")] = False,
) -> None:
    """Compare a run with a baseline: status 1 and one line for each regression, else 0."""
    from una_bench.gate import baseline as baselines
    from una_bench.gate import compare as gates
    from una_bench.gate import output

    expected = baselines.read(name)
    found = gates.check(run, expected)
    for line in output.lines(found):
        typer.echo(line)
    if annotations:
        for line in output.github(found):
            typer.echo(line)
    if junit is not None:
        output.write_junit(junit, found, expected.suite)
    if gates.regressions(found):
        typer.echo(f"Where that was meant: una-bench baseline update {run} --baseline {name}", err=True)
        raise typer.Exit(1)


@baseline.command("update")
def update(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs of the code as it is; several show how it spreads.", metavar="RUN...")
    ],
    name: Name,
) -> None:
    """Write a baseline from runs of unchanged code, and print what moved."""
    from una_bench.gate import update

    path, moved = update.update(runs, name)
    for line in moved:
        typer.echo(line)
    typer.echo(f"{path}: {len(moved)} changes" if moved else f"{path}: nothing moved")
