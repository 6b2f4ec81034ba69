"""Checks of a model's files without loading them: completeness, size, version, and permission to run its code."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Names of the files of weights that transformers looks for, in this order."""


def weights(folder: Path) -> list[Path]:
    """Return the files that transformers reads a model's weights from; none if there are none.

    Raises:
        UserError: The index is damaged, or a file that it names is missing.
    """
    if (folder / WHOLE).is_file() or not (folder / INDEX).is_file():
        return [folder / WHOLE] if (folder / WHOLE).is_file() else []
    names = sorted(set(indexed(folder).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of the {len(names)} files of weights that {INDEX} names: "
            f"{', '.join(missing)}. Copy what is missing there, or download the model again."
        )
    return [folder / name for name in names]


def indexed(folder: Path) -> dict[str, str]:
    """Return the file of each weight by the index of a model in several files; a UserError if it is damaged."""
    try:
        files: dict[str, str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return {str(weight): str(file) for weight, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder / INDEX} is damaged. Download the model again.") from None


def shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and shape of each weight by the files' headers; a UserError if a file is not whole."""
    for file in weights(folder):
        yield from tensors(file)


def tensors(file: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and shape of each tensor of a safetensors file; a UserError if it is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as content:
            for name in content.keys():  # noqa: SIM118 - not a mapping
                yield name, content.get_slice(name).get_shape()
    except (OSError, SafetensorError):
        raise UserError(f"{file} is damaged or truncated. Download the model again.") from None


def parameter_count(folder: Path) -> int:
    """Return the number of parameters by the safetensors' headers; a UserError if a file is not whole."""
    return sum(prod(shape) for _, shape in shapes(folder))


def fingerprint(path: Path) -> str:
    """Return a fingerprint of a model from the names, sizes and ends of its files; empty if there is none."""
    if path.suffix == ".gguf" and path.is_file():
        return content_hash([path.stat().st_size, _ends(path)])
    if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
        return ""
    files = sorted(p for p in path.iterdir() if p.suffix in {".json", ".safetensors", ".jinja"})
    return content_hash([[p.name, p.stat().st_size, _ends(p)] for p in files])


def _ends(file: Path) -> str:
    with file.open("rb") as stream:
        first = stream.read(ENDS)
        stream.seek(max(0, file.stat().st_size - ENDS))
        return content_hash([first.hex(), stream.read(ENDS).hex()])
