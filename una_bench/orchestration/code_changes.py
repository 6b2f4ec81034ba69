"""Cells of a run's folder whose code has changed since: which they are, and how to keep them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from una_bench.orchestration import preparation
from una_bench.record import code_facts, sealed_folder, storage
from una_bench.record.schema import Record, Status

if TYPE_CHECKING:
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.suite.plan import Cell, Plan

OPTION = "--keep-old-code"


def of_record(record: Record, cell: Cell) -> list[str]:
    """Return the parts of the code that changed since ``record`` was written; none if it has no fact ``code``."""
    code = record.facts.get("code")
    return code_facts.different(code, cell.code) if code else []


def notes(plan: Plan, folder: RunFolder) -> list[str]:
    """Return one line for each set of changed parts: which cells it concerns, and what a run does with them."""
    concerned: dict[tuple[str, tuple[str, ...]], list[Cell]] = {}
    for cell, code in _with_code(plan, folder):
        changed = code_facts.different(code, cell.code)
        done = "trained" if code_facts.different(code, cell.code, code_facts.TRAINING) else "evaluated"
        if changed:
            concerned.setdefault((done, tuple(changed)), []).append(cell)
    return [_note(done, changed, cells) for (done, changed), cells in concerned.items()]


def _with_code(plan: Plan, folder: RunFolder) -> list[tuple[Cell, code_facts.Code]]:
    """Return each cell that has a record or a finished training, with its code."""
    recorded = {r.key: r for r in folder.records(plan)}
    cells = []
    for cell in plan.cells:
        code = recorded[cell.key].facts.get("code") if cell.key in recorded else None
        if cell.key not in recorded and (trained := storage.read_json(folder.cell(cell) / "trained.json")):
            code = {**cell.code, **trained.get("code", {})}
        if code:
            cells.append((cell, code))
    return cells


def _note(done: str, changed: tuple[str, ...], cells: list[Cell]) -> str:
    methods = {cell.method for cell in cells}
    files = {name for cell in cells for name in cell.code["method"]}
    of = f" of {methods.pop()}" if len(methods) == 1 and set(changed) <= files else ""
    count, were, are = (len(cells), "were", "are") if len(cells) > 1 else (1, "was", "is")
    return (
        f"{count} cell{'s' if count > 1 else ''} {were} {done} with other code{of} ({', '.join(changed)}) and {are} "
        f"{done} again: {', '.join(cell.name for cell in cells)}; {OPTION} keeps {'them' if count > 1 else 'it'}"
    )


def keep(plan: Plan, folder: RunFolder) -> Plan:
    """Return the plan that accepts results in ``folder`` of other code, and the prepared suite that they used.

    Only finished trainings are kept, and only if the defaults of their settings have not changed either.
    """
    before = folder.preparation()
    kept = plan.prepared_by(before) if before else None
    if kept is None or sealed_folder.damage(preparation.folder_of(kept)):
        kept = plan
    records = {r.key: r for r in folder.records(plan)}
    cells = []
    for current, cell in zip(plan.cells, kept.cells, strict=True):
        code = {**cell.code, **_accepted(records.get(cell.key), cell, folder)}
        other = code_facts.different(code, current.code)
        cells.append(replace(cell, code={**code, code_facts.OTHER: other} if other else code))
    return replace(kept, cells=tuple(cells))


def _accepted(record: Record | None, cell: Cell, folder: RunFolder) -> dict[str, Any]:
    if record is not None:
        given = {**record.settings, **record.facts.get("fitted", {})}
        same = all(given.get(name, value) == value for name, value in cell.settings.items())
        good = same and record.status is Status.OK
        stages = code_facts.TRAINING + code_facts.EVALUATION
        return code_facts.part(record.facts["code"], stages) if good and "code" in record.facts else {}
    trained = storage.read_json(folder.cell(cell) / "trained.json") or {}
    code: dict[str, Any] = trained.get("code", {})
    return code if folder.trained(replace(cell, code={**cell.code, **code})) else {}
