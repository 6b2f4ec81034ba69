"""Commands of the regression gate: compare a run with a baseline, and update a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

baseline = typer.Typer(help="Baselines of the gate.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Option("--baseline", help="File, or name of one in results/baselines.", metavar="FILE", show_default=False),
]


def gate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of a run, as `una-bench run` printed it. Of several runs of the same code, time and memory "
            "must be out of their limits in each.",
            metavar="RUN...",
        ),
    ],
    name: Name,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.", metavar="FILE")] = None,
    annotations: Annotated[bool, typer.Option("--annotations", help="Also print GitHub annotations.")] = False,
) -> None:
    """Compare runs with a baseline; print one line per regression and exit with status 1 if there are any."""
    from una_bench.gate import baseline as baselines
    from una_bench.gate import compare as gates
    from una_bench.gate import output
    from una_bench.record import reader, storage

    expected = baselines.read(name)
    verdicts = gates.check(runs, expected)
    for line in (line for run in runs for line in reader.only_first(run)):
        typer.echo(line, err=True)
    for line in output.lines(verdicts):
        typer.echo(line)
    if annotations:
        for line in output.github(verdicts):
            typer.echo(line)
    if junit is not None:
        storage.write_text(junit, output.junit(verdicts, expected.suite))
    if gates.regressions(verdicts):
        typer.echo(f"If the changes are intended: una-bench baseline update {runs[0]} --baseline {name}", err=True)
        raise typer.Exit(1)


@baseline.command("update")
def update(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs of unchanged code; several give its spread.", metavar="RUN...")
    ],
    name: Name,
) -> None:
    """Write a baseline from runs of unchanged code, and print the changes."""
    from una_bench.gate import update
    from una_bench.record import reader

    path, changes = update.update(runs, name)
    for line in (line for run in runs for line in reader.only_first(run)):
        typer.echo(line, err=True)
    for line in changes:
        typer.echo(line)
    typer.echo(f"{path}: {len(changes) or 'no'} changes")
