"""Reader of a run's folder: its records and ``run.json``."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from una_bench import formatting
from una_bench.errors import UserError
from una_bench.record import line
from una_bench.record.schema import SCHEMA, Record
from una_bench.record.version import VERSION

log = logging.getLogger("una_bench")
DRAW = "draw-"
"""Start of the name of a folder with another draw of a run's problem."""
NUMBERED = re.compile(rf"{DRAW}([1-9][0-9]{{0,3}})")


def records(run: Path) -> list[Record]:
    """Return the records of a run, if any; of a cell that was recorded twice, the last one.

    A file into which records of several problems were put together has one record of a cell for each problem.
    They are sorted by `in_order`, not by time, so that a resumed run equals one that was not interrupted.
    """
    path = run / "records.jsonl"
    if not path.is_file():
        return []
    by_cell: dict[str, list[Record]] = {}
    # Not splitlines: JSON strings may contain other line separators.
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        record = _record(text, path, number)
        if record is not None:
            others = [r for r in by_cell.get(record.cell, ()) if _of_another_problem(r, record)]
            by_cell[record.cell] = [*others, record]
    return in_order([record for kept in by_cell.values() for record in kept])


def _of_another_problem(first: Record, second: Record) -> bool:
    # A new version may change one of the two for the same cell, but not both.
    return first.key != second.key and "" not in {first.problem, second.problem} and first.problem != second.problem


def some(run: Path) -> list[Record]:
    """Return the records of a run, or raise `UserError` if there are none."""
    existing = records(run)
    if not existing:
        raise UserError(f"{run} has no records. Give the folder of a run (with records.jsonl in it).")
    return existing


def draws(run: Path) -> dict[int, list[Record]]:
    """Return the records of each draw of a run's problem: 0 is the run itself, k is in its folder ``draw-k``.

    Raises:
        UserError: There are no records, or two draws are of the same problem or of other suites.
    """
    by_draw = {0: some(run)} | {n: one for n in further_draws(run) if (one := records(run / f"{DRAW}{n}"))}
    problems: dict[str, int] = {}
    for number, (first, *_) in by_draw.items():
        if first.suite != by_draw[0][0].suite:
            raise UserError(
                f"{run / f'{DRAW}{number}'} is of the suite {formatting.clean(first.suite)}, the run of "
                f"{formatting.clean(by_draw[0][0].suite)}. Move it out of the folder."
            )
        earlier = problems.setdefault(first.problem or str(number), number)
        if earlier != number:
            raise UserError(f"{run}: draws {earlier} and {number} are the same problem. Move one out of the folder.")
    return by_draw


def further_draws(run: Path) -> list[int]:
    """Return the numbers of the draws beside the first that have a folder in a run."""
    names = (NUMBERED.fullmatch(path.name) for path in run.glob(f"{DRAW}*"))
    return sorted(int(match[1]) for match in names if match)


def only_first(run: Path) -> list[str]:
    """Return the note of a reader that leaves out the further draws of a run, if there are any."""
    count = len(further_draws(run))
    return (
        [f"{run.name}: of draw 0 alone; `una-bench report` shows all {count + 1} draws of the problem"] if count else []
    )


def in_order(unsorted: list[Record]) -> list[Record]:
    """Sort records: untrained policies first, then by method, variant and seed."""
    return sorted(unsorted, key=lambda r: (trained(r), r.method, r.variant, r.seed))


def trained(record: Record) -> bool:
    """Return whether the cell trains; the untrained policy does not."""
    return record.failure is not None or record.facts.get("optimizer_steps") != 0 or bool(record.steps.seconds)


def _record(text: str, path: Path, number: int) -> Record | None:
    from pydantic import ValidationError

    if not text.strip():
        return None
    where = f"{path}, line {number}"
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        log.warning("%s is incomplete (as after a killed run) and is ignored; its cell counts as not run.", where)
        return None
    schema = raw.get("schema", 0) if isinstance(raw, dict) else None
    if not isinstance(schema, int):
        raise UserError(f"{where} is not a record. Remove the line; the cell is then run again.")
    refuse_newer(raw, where)
    content = {key: value for key, value in raw.items() if key != "sha256"}  # older versions added a checksum
    try:
        return Record.model_validate({**line.load(content), "schema": SCHEMA})
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = formatting.clean(
                f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
            )
        advice = "Remove the line; the cell is then run again."
        raise UserError(f"{where} is not a valid record: {reason}. {advice}") from None


def run_info(run: Path) -> dict[str, Any]:
    """Return the content of ``run.json`` (suite, command, frontier, ...), empty if there is none."""
    path = run / "run.json"
    if not path.is_file():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise UserError(
            f"{path} is not valid JSON. Delete it and repeat the run's command to write it again."
        ) from None
    if isinstance(info, dict) and set(info) == {"sha256", "value"}:
        info = info["value"]
    if not isinstance(info, dict):
        return {}
    refuse_newer(info, path)
    return info


def refuse_newer(content: dict[str, Any], where: object) -> None:
    """Raise `UserError` if a newer una-bench wrote ``content``."""
    schema = content.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"{where} has format {schema}; this una-bench {VERSION} reads up to {SCHEMA}. Upgrade una-bench."
        )
