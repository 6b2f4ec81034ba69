"""Reads a run's folder: its records and what the run says of itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from una_bench import formatting
from una_bench.errors import UserError
from una_bench.record import storage
from una_bench.record.schema import SCHEMA, Record
from una_bench.record.version import VERSION

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
    # Not splitlines: JSON strings may hold line separators that are no newlines.
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
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
    where = f"{path}, line {number}"
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        log.warning("%s is torn (a killed run leaves one) and is passed over.", where)
        return None
    if isinstance(raw, dict) and "sha256" in raw and not storage.line_intact(line):
        log.warning("%s is damaged (its checksum is another) and is passed over; its cell counts as not run.", where)
        return None
    schema = raw.get("schema", 0) if isinstance(raw, dict) else None
    if not isinstance(schema, int):
        raise UserError(f"{where} is not a record. Remove the line; its cell is then run again.")
    refuse_newer(raw, where)
    content = {key: value for key, value in raw.items() if key != "sha256"}
    try:
        return Record.model_validate({**content, "schema": SCHEMA})
    except (ValidationError, RecursionError) as error:
        raise UserError(
            f"{where} is not a valid record: {_first(error)}. Remove the line; its cell is then run again."
        ) from None


def _first(error: Exception) -> str:
    """Return where and what the first mistake is."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return "nested too deeply"
    first = error.errors()[0]
    return formatting.clean(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")


def run_info(run: Path) -> dict[str, Any]:
    """Return what the run wrote of itself (suite, command, frontier, ...); empty where there is no ``run.json``."""
    path = run / "run.json"
    if not path.is_file():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise UserError(f"{path} is not valid JSON. Delete it; the command of the run writes it anew.") from None
    if isinstance(info, dict) and set(info) == {"sha256", "value"}:
        info = info["value"]
    if not isinstance(info, dict):
        return {}
    refuse_newer(info, path)
    return info


def refuse_newer(content: dict[str, Any], where: object) -> None:
    """Refuse what a newer una-bench wrote.

    Raises:
        UserError: It says so.
    """
    schema = content.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"{where} has format {schema}; this una-bench {VERSION} reads up to {SCHEMA}. Upgrade una-bench."
        )
