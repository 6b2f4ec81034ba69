"""Reads a run's folder: its records and what the run says of itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.record import SCHEMA, Record

log = logging.getLogger("una_bench")


def records(run: Path) -> list[Record]:
    """Return the records of a run, none where it has none yet; where a cell was recorded twice, the last one.

    The untrained policy comes first, then methods, variants and seeds in order: not the order in which cells ended,
    so that a resumed run reads like one that was never interrupted.
    """
    path = run / "records.jsonl"
    if not path.is_file():
        return []
    last: dict[str, Record] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        record = _record(line, path, number)
        if record is not None:
            last[record.cell] = record
    return in_order(list(last.values()))


def some(run: Path) -> list[Record]:
    """Return the records of a run that must have some."""
    found = records(run)
    if not found:
        raise UserError(
            f"{run} holds no records. Give a folder that `una-bench run` printed (with records.jsonl in it)."
        )
    return found


def in_order(found: list[Record]) -> list[Record]:
    """Sort records: untrained policies first, then by method, variant and seed."""
    return sorted(found, key=lambda r: (trained(r), r.method, r.variant, r.seed))


def trained(record: Record) -> bool:
    """Whether the cell trains at all; the untrained policy is one row that has no seeds."""
    return record.failure is not None or bool(record.steps.seconds) or record.facts.get("optimizer_steps") != 0


def _record(line: str, path: Path, number: int) -> Record | None:
    from pydantic import ValidationError

    if not line.strip():
        return None
    try:
        raw = json.loads(line)
    except json.JSONDecodeError:
        log.warning("%s, line %d is torn (a killed run leaves one) and is passed over.", path, number)
        return None
    schema = raw.get("schema", 0) if isinstance(raw, dict) else None
    if not isinstance(schema, int):
        raise UserError(f"{path}, line {number} is not a record.")
    if schema > SCHEMA:
        raise UserError(
            f"{path}, line {number} has record format {schema}; this una-bench reads up to {SCHEMA}. Upgrade una-bench."
        )
    try:
        return Record.model_validate({**raw, "schema": SCHEMA})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}, line {number} is not a valid record: {where}: {first['msg']}.") from None


def run_info(run: Path) -> dict[str, Any]:
    """Return what the run wrote of itself (suite, command, frontier, ...); empty where there is no ``run.json``."""
    path = run / "run.json"
    if not path.is_file():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is not valid JSON. Start the run again to have it written anew.") from None
    if isinstance(info, dict) and set(info) == {"sha256", "value"}:
        info = info["value"]
    return info if isinstance(info, dict) else {}
