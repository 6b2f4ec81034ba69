"""Files that survive a kill: written to a temporary file and renamed, or appended in one write."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from una_bench.errors import UserError
from una_bench.record import line
from una_bench.record.schema import Record


def cache_folder() -> Path:
    """Return where prepared suites are kept: ``UNA_BENCH_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("UNA_BENCH_CACHE") or platformdirs.user_cache_path("una-bench"))


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` with ``text``: readers see the old or the new file. `UserError` if that fails: the old stays."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file. Choose another name.")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written: {error.strerror}. Free space or fix the permissions, "
        "then run the same command to resume."
    )


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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if intact else None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def append_record(run: Path, record: Record) -> None:
    """Append one line to the run's records, and wait until it is on disk; `UserError` if it cannot be written."""
    path = run / "records.jsonl"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _append(descriptor, line.dump(record) + "\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from None


def _append(descriptor: int, text: str) -> None:
    """Append ``text``, all of it or nothing; if a killed run left an incomplete line, start a new one after it."""
    size = os.fstat(descriptor).st_size
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    unwritten = (("\n" if torn else "") + text).encode()
    try:
        while unwritten:  # a disk that fills up takes a part first
            unwritten = unwritten[os.write(descriptor, unwritten) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def writable(folder: Path) -> None:
    """Check that ``folder`` can be created and written to, before any work starts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}. Choose another folder.") from None
