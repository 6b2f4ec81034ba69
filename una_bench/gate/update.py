"""Creation and update of baselines from runs of unchanged code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from una_bench.errors import UserError
from una_bench.gate import baseline as baselines
from una_bench.gate import figures, limits
from una_bench.gate.baseline import BY_HAND, Baseline, Entry
from una_bench.gate.figures import Gauge, Kind
from una_bench.record import reader
from una_bench.record.schema import Record, Status
from una_bench.reporting.tables.comparable_runs import refuse_mixed

Cells = dict[str, dict[str, Entry]]


def update(runs: Sequence[Path], name: str) -> tuple[Path, list[str]]:
    """Write the baseline ``name`` from one or more runs, and return its file and the changes.

    Cells are those of the first run. Further runs of the same cells give the spread of unchanged code; cells with
    other seeds give the spread of quality. Limits whose ``from`` begins with ``by hand`` are kept.
    """
    path = baselines.find(name)
    before = baselines.read(str(path)) if path.is_file() else None
    if before is None and not path.suffix:
        bare = path.name == name and baselines.FOLDER.is_dir()
        path = (baselines.FOLDER if bare else path.parent) / f"{path.name}.json"
    after = make(runs)
    if before is not None:
        if before.suite != after.suite:
            raise UserError(f"{path} is a baseline of the suite {before.suite}, not of {after.suite}. Choose another.")
        after = after.model_copy(update={"cells": _kept_by_hand(before.cells, after.cells)})
    baselines.write(path, after)
    return path, limits.moved({} if before is None else before.cells, after.cells)


def make(runs: Sequence[Path]) -> Baseline:
    """Return the baseline of runs of one recipe on one machine; `UserError` if they differ or a first cell failed."""
    if len({run.resolve() for run in runs}) != len(runs):
        raise UserError("A run is given twice. Give each folder once.")
    records_by_run = [reader.some(run) for run in runs]
    for run, records in zip(runs, records_by_run, strict=True):
        refuse_mixed(run, records)
    suite, key = identity(runs[0])
    for run in runs[1:]:
        if identity(run) != (suite, key):
            raise UserError(f"{run} is a run of another recipe than {runs[0]}. Give runs of one recipe.")
    firsts = records_by_run[0]
    for record in firsts:
        if record.status is not Status.OK:
            raise UserError(f"{record.cell} of {runs[0]} {record.status}: a baseline needs cells that succeeded.")
    every = [r for records in records_by_run for r in records if r.status is Status.OK]
    versions, machine = baselines.surroundings(next((r for r in firsts if reader.trained(r)), firsts[0]))
    cells = _cells(firsts, every)
    draft = Baseline(suite=suite, key=key, runs=len(runs), versions=versions, machine=machine, cells=cells)
    for record in every:
        if other := baselines.differing(draft, record):
            raise UserError(f"The runs differ in versions or machine: {record.run} {record.cell}: {other}.")
    return draft


def identity(run: Path) -> tuple[str, str]:
    """Return suite and key of the recipe of a run."""
    info = reader.run_info(run)
    if not isinstance(info.get("suite"), str) or not isinstance(info.get("key"), str):
        raise UserError(f"{run} has no run.json that names its recipe. Give a folder that `una-bench run` wrote.")
    return info["suite"], info["key"]


def _cells(firsts: Sequence[Record], every: Sequence[Record]) -> Cells:
    of_quality = figures.quality(firsts)
    gauges_of = [(r, figures.gauges(r, of_quality)) for r in every]
    cells: Cells = {}
    for record in firsts:
        same_cell = [gauges for r, gauges in gauges_of if r.cell == record.cell]
        of_row = ((r, g) for r, g in gauges_of if (r.method, r.variant) == (record.method, record.variant))
        by_seed = {r.seed: gauges for r, gauges in of_row}
        entries = {name: _entry(name, same_cell, list(by_seed.values())) for name in same_cell[0]}
        cells[record.cell] = {name: entry for name, entry in entries.items() if entry is not None}
    return cells


def _entry(name: str, same_cell: Sequence[dict[str, Gauge]], by_seed: Sequence[dict[str, Gauge]]) -> Entry | None:
    repeats = [gauges[name] for gauges in same_cell if name in gauges]
    of_seeds = [gauges[name].value for gauges in by_seed if name in gauges] if repeats[0].kind is Kind.QUALITY else []
    return limits.entry(repeats, [float(value) for value in of_seeds])


def _kept_by_hand(before: Cells, after: Cells) -> Cells:
    def kept(cell: str, name: str, entry: Entry) -> Entry:
        old = before.get(cell, {}).get(name)
        if old is None or not old.source.startswith(BY_HAND):
            return entry
        return entry.model_copy(update={"here": old.here, "elsewhere": old.elsewhere, "source": old.source})

    return {cell: {name: kept(cell, name, e) for name, e in entries.items()} for cell, entries in after.items()}
