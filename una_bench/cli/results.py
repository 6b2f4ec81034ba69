"""End of a run: its tables, plots and reports, saved beside the records and printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from una_bench.orchestration.runner import Finished
    from una_bench.reporting.tables.table import Table


def write(finished: Finished, *, baseline: str) -> tuple[Table, Path]:
    """Save table, plots and report of a run beside its records; return the table and the path of the report."""
    from una_bench.analysis import documents, frame
    from una_bench.record import reader, storage
    from una_bench.reporting import report
    from una_bench.reporting.plots import figures
    from una_bench.reporting.tables import across_draws, ladder_table, render, results_table
    from una_bench.reproduction import claims_table

    run, records = finished.run, finished.records
    chosen = frame.first(frame.rows(records), baseline)
    result = results_table.results(records, baseline=chosen, documents=documents.scores(run, records))
    storage.write_text(run / "table.md", render.markdown(result))
    storage.write_text(run / "table.csv", render.csv(result))
    if over_draws := across_draws.of_run(run):
        storage.write_text(run / "draws.md", render.markdown(over_draws))
        storage.write_text(run / "draws.csv", render.csv(over_draws))
    if climbed := ladder_table.of_records(records):
        storage.write_text(run / "ladder.md", render.markdown(climbed))
    plots = figures.all(records, reader.run_info(run), run / "plots", baseline=chosen)
    draws = reader.draws(run)
    alike = [r.key for r in draws[0]] == [r.key for r in records]  # a plan may order variants in another way
    claims = claims_table.of_run(run, draws)
    return result, report.write(run, baseline=chosen, claims=claims, draws=draws, plots=plots if alike else None)


def show(console: Console, finished: Finished, *, baseline: str, differences: bool) -> None:
    """Print the comparison table, and save it with plots and report beside the records.

    The terminal shows the long tables of differences to the baseline only with ``differences``.
    """
    from una_bench import formatting
    from una_bench.analysis import frame
    from una_bench.record.schema import Status
    from una_bench.reporting import fairness
    from una_bench.reporting.tables import across_draws
    from una_bench.reporting.tables.terminal import Terminal

    every = (finished, *finished.draws)
    for draw in (one for one in finished.draws if one.records):
        write(draw, baseline=baseline)
    result, page = write(finished, baseline=baseline)
    console.print(Terminal(result if differences else replace(result, then=())))
    if differences and frame.first(frame.rows(finished.records), baseline) is None:
        console.print(f"No differences: this run has no row of the baseline '{baseline}'.")
    ledger = fairness.ledger(finished.records)
    differing = [line.topic for line in ledger if line.verdict is fairness.Verdict.DIFFERS]
    if differing:
        console.print(f"Fairness: methods differ in {len(differing)} topics: {', '.join(differing)}.")
    for one in every:
        for record in (r for r in one.records if r.status is not Status.OK):
            reason = record.failure.reason if record.failure else "unknown"
            place = f"{one.run.name}, " if one is not finished else ""
            cell_and_reason = escape(formatting.clean(f"{place}{record.cell}: {reason}"))
            color = "red" if record in one.failed else "yellow"
            console.print(f"[{color}]{str(record.status).replace('_', ' ')}[/{color}] {cell_and_reason}")
    if over_draws := across_draws.of_run(finished.run):
        console.print("These results are of draw 0 of the problem.\n")
        console.print(Terminal(over_draws))
    trained = sum(one.trained for one in every)
    place = f"the tables of {len(every)} draws" if finished.draws else "the table"
    console.print(f"{trained} cells trained now, {sum(len(one.records) for one in every)} in {place}.")
    _time(console, every)
    console.print(f"Records, table and plots: {escape(str(finished.run))}\nReport: {escape(str(page))}")


def _time(console: Console, every: Sequence[Finished]) -> None:
    """Print and save the time accounting of the draws in which something was trained."""
    from una_bench.orchestration.run_folder import RunFolder

    spent: Counter[str] = Counter()
    for one in every:
        if one.time is not None and one.trained:
            summary = one.time.summary()
            RunFolder(one.run).write_time(summary)
            spent.update(summary)
    if spent:
        console.print(
            f"Time: {spent['wall_seconds']:.0f} s, of which preparation and imports {spent['once_seconds']:.0f} s, "
            f"harness {spent['harness_seconds']:.0f} s ({100 * spent['harness_seconds'] / spent['wall_seconds']:.1f} "
            "%), the rest training and evaluation."
        )
