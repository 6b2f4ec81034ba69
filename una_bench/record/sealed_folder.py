"""Checksums of a folder's files, written last, to detect a damaged or incomplete folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from una_bench.record import storage

SEAL = "sealed.json"
READ_ALWAYS = 64 * 2**20
"""Files up to this many bytes are always hashed; larger ones only if their modification time differs."""


def write(folder: Path) -> None:
    """Seal ``folder``; files added later are not checked."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    storage.write_json(folder / SEAL, {"files": {str(p.relative_to(folder)): _facts(p) for p in files}})


def damage(folder: Path) -> str:
    """Describe the damage of a sealed folder, empty if it is intact."""
    seal = storage.read_json(folder / SEAL)
    if seal is None:
        return "it is incomplete"
    for name, facts in seal["files"].items():
        if not _same(folder / name, facts):
            return f"{name} is damaged or missing"
    return ""


def _facts(file: Path) -> dict[str, Any]:
    status = file.stat()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns, "sha256": _sha256(file)}


def _same(file: Path, facts: dict[str, Any]) -> bool:
    try:
        status = file.stat()
        if status.st_size != facts["bytes"]:
            return False
        unmodified = status.st_size > READ_ALWAYS and status.st_mtime_ns == facts["changed"]
        return unmodified or bool(_sha256(file) == facts["sha256"])
    except OSError:
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
