"""Output of a tuned run: its stages, what tuning was worth, and the trials of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from una_bench.cli import results

if TYPE_CHECKING:
    from una_bench.orchestration.tuning import Stage
    from una_bench.suite.plan import Plan


def stage(console: Console, ended: Stage, *, baseline: str, differences: bool) -> None:
    """Print the results of a run, or of one stage of a tuned one; those of trials are in the table of the last."""
    from una_bench.analysis import tuning

    finished = ended.finished
    if ended.name != tuning.TRIALS and (finished.records or not finished.stopped):
        results.show(console, finished, baseline=baseline, differences=differences)
    if ended.name == tuning.TUNED and not finished.stopped:
        tuned(console, finished.run.parent)


def tuned(console: Console, run: Path) -> None:
    """Print what tuning was worth, and save it in the folder of the run, whose report gets a section of it."""
    from una_bench.analysis import tuning
    from una_bench.record import reader, storage
    from una_bench.reporting import report
    from una_bench.reporting.tables import render, tuning_tables
    from una_bench.reporting.tables.terminal import Terminal

    trials = tuning.read(run)
    assert trials is not None
    compared = tuning_tables.before_and_after(reader.records(run), trials.tuned)
    tables = [*([compared] if compared else []), tuning_tables.trials(trials)]
    storage.write_text(run / "tuning.md", "\n".join(map(render.markdown, tables)))
    for table in tables:
        console.print(Terminal(table))
    console.print(f"Report with tuning: {escape(str(report.write(run)))}")


def trials(planned: Plan) -> Table:
    """Return the settings that the trials of a tuned run draw."""
    from una_bench.suite import search

    table = Table("trial", "seeds", "settings", title="Trials", title_justify="left")
    for one in search.searches(planned):
        for number, trial in enumerate(one.trials):
            seeds, name = (
                ", ".join(map(str, trial.seeds)),
                f"{one.method}[{one.variant}]" if one.variant else one.method,
            )
            drawn = ", ".join(f"{setting}={value:g}" for setting, value in trial.drawn.items())
            table.add_row(escape(f"{name} {number}"), seeds, drawn)
    return table
