"""Whether a prepared policy's own code may run: only where the user named the model when the suite was made.

What can be told of a model's files without loading them: whether they are whole, how large, and which version.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import content_hash

MARKER = "trusted.json"


def mark(folder: Path, name: str) -> None:
    """Note that the user allowed the code of the model ``name``, whose files are in ``folder``."""
    (folder / MARKER).write_text(f'{{"trust_remote_code": "{name}"}}\n', encoding="utf-8")


def loading(folder: Path) -> dict[str, bool]:
    """Return the arguments with which transformers loads from ``folder``."""
    return {"trust_remote_code": True} if (folder / MARKER).is_file() else {}


ENDS = 1 << 16
"""Bytes at either end of a file that tell versions of it apart."""


def header(file: Path) -> dict[str, Any]:
    """Return the table of tensors of a safetensors file.

    Raises:
        UserError: The file does not hold all that its table says.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            table: dict[str, Any] = json.loads(stream.read(length)) if length <= file.stat().st_size else {}
        table.pop("__metadata__", None)
        end = 8 + length + max((t["data_offsets"][1] for t in table.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError):
        table, end = {}, -1
    if end != file.stat().st_size:
        raise UserError(f"{file} is damaged or cut off. Fetch the model again.")
    return table


def parameter_count(folder: Path) -> int:
    """Parameters, as the headers of the safetensors say."""
    return sum(prod(t["shape"]) for file in folder.glob("*.safetensors") for t in header(file).values())


def fingerprint(path: Path) -> str:
    """Tell versions of a model apart by names, sizes and ends of its files; empty where none is there."""
    if path.suffix == ".gguf" and path.is_file():
        return content_hash([path.stat().st_size, _ends(path)])
    if not (path / "config.json").is_file():
        return ""
    files = sorted(p for p in path.iterdir() if p.suffix in {".json", ".safetensors", ".jinja"})
    return content_hash([[p.name, p.stat().st_size, _ends(p)] for p in files])


def _ends(file: Path) -> str:
    with file.open("rb") as stream:
        first = stream.read(ENDS)
        stream.seek(max(0, file.stat().st_size - ENDS))
        return content_hash([first.hex(), stream.read(ENDS).hex()])
