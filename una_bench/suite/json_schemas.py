"""JSON Schemas of records and recipes: ``python -m una_bench.suite.json_schemas docs/schemas`` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from una_bench.record import storage
from una_bench.record.schema import SCHEMA, Record
from una_bench.suite import recipe
from una_bench.suite.recipe import Recipe

_CHANGES = {"type": "object", "additionalProperties": {"type": ["object", "null"]}}
CHOICES: dict[str, Any] = {
    "preset": {"type": "string", "description": "Default preset."},
    "presets": {**_CHANGES, "description": "Name -> dotted key -> value, as for --set."},
    "scales": {**_CHANGES, "description": "The same, applied after the preset."},
    "reproduces": {"type": "object", "description": "Published tables and claims to compare the suite with."},
}
"""Keys of a recipe file that `una_bench.suite.presets` handles."""


_READINGS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "number"},
    "description": "Number of the metric's meaning, then its readings in order.",
}
_TEXT = {"type": "string", "contentEncoding": "base85", "description": 'See docs/measuring.md, "Format of a record".'}


def record() -> dict[str, Any]:
    """Return the schema of one line of ``records.jsonl``."""
    schema = Record.model_json_schema(mode="serialization")
    kept = {k: v for k, v in schema["properties"].items() if k not in {"curves", "steps"}}
    stored = {
        "measurements": {"type": "object", "additionalProperties": _READINGS},
        "stderr": {"type": "object", "additionalProperties": {"type": "number"}},
        "meanings": {**_TEXT, "title": "Units, directions, and methods of measurement"},
        "series": {**_TEXT, "title": "Curves and steps"},
    }
    required = [*(name for name in schema["required"] if name in kept), *stored]
    parts = {name: part for name, part in schema["$defs"].items() if name in {"Failure", "Status"}}
    title = f"una-bench record, format {SCHEMA}"
    return {**schema, "$defs": parts, "properties": kept | stored, "required": required, "title": title}


def suite() -> dict[str, Any]:
    """Return the schema of a recipe, without the settings of problems and benchmarks."""
    schema = Recipe.model_json_schema()
    schema["properties"] |= CHOICES
    return {**schema, "title": f"una-bench recipe, format {recipe.SCHEMA}"}


def write(folder: Path) -> list[Path]:
    """Write both schemas and return their paths."""
    paths = []
    for name, schema in (("record", record()), ("recipe", suite())):
        described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        paths.append(folder / f"{name}.schema.json")
        storage.write_text(paths[-1], json.dumps(described, indent=1, sort_keys=True) + "\n")
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
