"""Command ``claims``: what runs show of the claims of the UNA paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from una_bench.errors import UserError


def claims(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, as `una-bench run` printed them.", metavar="RUN...")
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show which claims of the UNA paper held in runs, with each difference and its interval."""
    from rich.console import Console

    from una_bench.reporting.tables import render
    from una_bench.reporting.tables.terminal import Terminal
    from una_bench.reproduction import claims_table

    for run in runs:
        if not (run / "records.jsonl").is_file():
            raise UserError(f"{run} is not a run: it has no records.jsonl. `una-bench run` prints the folder of a run.")
    if len({run.resolve() for run in runs}) != len(runs):
        raise UserError("A run is given twice. Give each folder once.")
    made = claims_table.table(runs)
    if markdown:
        typer.echo(render.markdown(made), nl=False)
    else:
        Console(highlight=False, soft_wrap=not sys.stdout.isatty()).print(Terminal(made))
