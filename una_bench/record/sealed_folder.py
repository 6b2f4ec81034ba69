"""Folders with checksums of their files, written last, so that a damaged or incomplete folder is recognized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from una_bench.record import storage
from una_bench.record.hashes import file_sha256

SEAL = "sealed.json"
READ_ALWAYS = 64 * 2**20
"""Files up to this many bytes are read again at each check; larger ones only if their modification time has changed."""


def write(folder: Path, **facts: Any) -> None:
    """Seal ``folder`` as it is now, with ``facts`` in the seal; files added later are not checked."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    storage.write_json(folder / SEAL, {**facts, "files": {str(p.relative_to(folder)): _facts(p) for p in files}})


def read(folder: Path) -> dict[str, Any] | None:
    """Return the seal of ``folder``; None where it is absent or damaged."""
    return storage.read_json(folder / SEAL)


def damage(folder: Path) -> str:
    """Return what is wrong with a sealed folder; empty where it is intact."""
    seal = read(folder)
    if seal is None:
        return "it is incomplete"
    name = first_damaged(folder, seal["files"])
    return f"{name} is damaged or missing" if name else ""


def first_damaged(folder: Path, files: Mapping[str, Any]) -> str:
    """Return the first of ``files`` that is damaged or missing; empty where none is.

    ``files`` maps a name to what a seal holds of it, or only to its SHA-256: then the file is always read.
    """
    return next((name for name, facts in files.items() if not _intact(folder / name, facts)), "")


def _facts(file: Path) -> dict[str, Any]:
    status = file.stat()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns, "sha256": file_sha256(file)}


def _intact(file: Path, facts: Any) -> bool:
    try:
        if isinstance(facts, str):
            return file.is_file() and file_sha256(file) == facts
        status = file.stat()
        if status.st_size != facts["bytes"]:
            return False
        untouched = status.st_size > READ_ALWAYS and status.st_mtime_ns == facts["changed"]
        return untouched or bool(file_sha256(file) == facts["sha256"])
    except OSError:
        return False
