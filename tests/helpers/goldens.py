"""Comparison with golden files; ``REGENERATE_GOLDEN=1 pytest`` writes them anew, to be looked at before committing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "golden" / "report"


def same(name: str, text: str) -> None:
    """Assert that ``text`` is what the golden file holds."""
    path = FOLDER / name
    if os.environ.get("REGENERATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


MESSAGES = FOLDER.parent / "bad_input.json"


def told(name: str, message: str) -> None:
    """Assert that a message is what the golden file holds under ``name``, to the letter; regenerate with ``-n 0``."""
    known: dict[str, str] = json.loads(MESSAGES.read_text(encoding="utf-8")) if MESSAGES.is_file() else {}
    if os.environ.get("REGENERATE_GOLDEN"):
        known[name] = message
        MESSAGES.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    assert message == known[name]


def rounded(text: str) -> str:
    """Numbers to nine digits: the last ones depend on the version of scipy."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.9g}", text)
