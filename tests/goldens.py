"""Comparison with golden files; ``REGENERATE_GOLDEN=1 pytest`` writes them anew, to be looked at before committing."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden" / "report"


def same(name: str, text: str) -> None:
    """Assert that ``text`` is what the golden file holds."""
    path = FOLDER / name
    if os.environ.get("REGENERATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
