"""Checks of a model's files without loading them: completeness, size, version, and permission to run its code."""

from __future__ import annotations

from math import prod
from pathlib import Path

from una_bench.errors import UserError
from una_bench.record.hashes import content_hash

MARKER = "trusted.json"


def mark(folder: Path, name: str) -> None:
    """Record that the user trusts the code of the model ``name`` in ``folder``."""
    (folder / MARKER).write_text(f'{{"trust_remote_code": "{name}"}}\n', encoding="utf-8")


def loading(folder: Path) -> dict[str, bool]:
    """Return transformers' arguments for loading from ``folder``."""
    return {"trust_remote_code": True} if (folder / MARKER).is_file() else {}


ENDS = 1 << 16
"""Bytes at each end of a file that enter its fingerprint."""


def parameter_count(folder: Path) -> int:
    """Return the number of parameters by the safetensors' headers; a UserError if a file is not whole."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="numpy") as tensors:
                count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (OSError, SafetensorError):
            raise UserError(f"{file} is damaged or truncated. Download the model again.") from None
    return count


def fingerprint(path: Path) -> str:
    """Return a fingerprint of a model from the names, sizes and ends of its files; empty if there is none."""
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
