"""Files that survive a kill: written beside and renamed, or appended in one write with a checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from una_bench.errors import UserError
from una_bench.record import Record


def cache_folder() -> Path:
    """Where prepared suites are kept: ``UNA_BENCH_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("UNA_BENCH_CACHE") or platformdirs.user_cache_path("una-bench"))


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` with ``text`` so that a reader sees the old or the new file, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON with the checksum of its content, for `read_json`."""
    body = json.dumps(value, sort_keys=True)
    write_text(path, json.dumps({"sha256": _checksum(body), "value": value}, sort_keys=True))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what `write_json` wrote, or None where it is absent, half-written or altered."""
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        value: dict[str, Any] = outer["value"]
        intact = outer["sha256"] == _checksum(json.dumps(value, sort_keys=True))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if intact else None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def append_record(run: Path, record: Record) -> None:
    """Append one line to the run's records in a single write, and wait until it is on disk."""
    line = record.model_dump_json(by_alias=True) + "\n"
    path = run / "records.jsonl"
    if path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        line = "\n" + line  # a torn line of a killed run stays alone on its line, where readers pass over it
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writable(folder: Path) -> None:
    """Make sure that ``folder`` can be made and written to, or say so before any work starts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}. Choose another folder.") from None
