"""Whether a prepared policy's own code may run: only where the user named the model when the suite was made."""

from __future__ import annotations

from pathlib import Path

MARKER = "trusted.json"


def mark(folder: Path, name: str) -> None:
    """Note that the user allowed the code of the model ``name``, whose files are in ``folder``."""
    (folder / MARKER).write_text(f'{{"trust_remote_code": "{name}"}}\n', encoding="utf-8")


def loading(folder: Path) -> dict[str, bool]:
    """Return the arguments with which transformers loads from ``folder``."""
    return {"trust_remote_code": True} if (folder / MARKER).is_file() else {}
