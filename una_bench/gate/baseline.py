"""Baseline file of the gate: figures and their limits, one per line for review."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from una_bench import formatting
from una_bench.errors import UserError, nearest
from una_bench.gate.figures import Kind
from una_bench.record import storage
from una_bench.record.schema import Better, Record
from una_bench.record.version import VERSION

SCHEMA = 1
FOLDER = Path("results") / "baselines"
APART = {"una-bench", "lm-eval"}
"""Packages whose versions are not compared: they do not affect training, and una-bench is what is judged."""
MACHINE = ("machine", "cpu", "cpu_id", "cpu_capability", "threads", "accelerator", "capability")
"""Keys of a record's environment that affect the order of summation and speed."""
BY_HAND = "by hand"
"""Prefix of ``from`` that protects limits from updates."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Limits = Literal["exact"] | tuple[Number | None, Number | None]
"""``exact``, or the lowest and the highest value that pass; null means no limit."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Entry(_Frozen):
    """One figure of one cell and its limits."""

    kind: Kind
    value: int | Number | str
    unit: str = "1"
    better: Better = Better.NEITHER
    here: Limits
    """Limits with the same versions on the same kind of machine."""
    elsewhere: Limits | None = None
    """Limits with other versions or on another kind of machine; null: not compared there."""
    source: str = Field(validation_alias="from", serialization_alias="from")
    """Derivation of the limits."""


class Baseline(_Frozen):
    """Figures and limits of a suite."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["baseline"] = "baseline"
    suite: str
    key: str
    """Key of the recipe, as in ``run.json``."""
    runs: int = Field(gt=0)
    """Number of runs of unchanged code that it is based on."""
    versions: dict[str, str | None]
    machine: dict[str, Any]
    cells: dict[str, dict[str, Entry]] = Field(min_length=1)


def find(name: str) -> Path:
    """Return the file of a baseline: a path, with or without ``.json``, or a name in ``results/baselines``."""
    candidates = [Path(name), Path(f"{name}.json"), FOLDER / f"{name}.json"]
    return next((path for path in candidates if path.is_file()), candidates[0])


def read(name: str) -> Baseline:
    """Read a baseline, or raise `UserError` if the file is missing, damaged or of a newer format."""
    if not name:
        raise UserError("--baseline is empty. Give a file, or the name of one in results/baselines.")
    path = find(name)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        near = nearest(path.stem, [p.stem for p in FOLDER.glob("*.json")])
        advice = f"Create one with `una-bench baseline update RUN --baseline {name}`."
        raise UserError(f"There is no baseline {name}.{near} {advice}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}. Recreate it: `una-bench baseline update`.") from None
    number = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or raw.get("kind") != "baseline" or not isinstance(number, int):
        raise UserError(f"{path} is not a baseline. Create one with `una-bench baseline update RUN --baseline NAME`.")
    if number > SCHEMA:
        newest = f"this una-bench {VERSION} reads up to {SCHEMA}"
        raise UserError(f"{path} has format {number}; {newest}. Upgrade una-bench.")
    try:
        return Baseline.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = formatting.clean(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        advice = "Recreate it with `una-bench baseline update`."
        raise UserError(f"{path} is not a valid baseline: {where}. {advice}") from None


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline, one figure per line."""
    data = baseline.model_dump(mode="json", by_alias=True)
    del data["cells"]
    blocks = []
    for cell, entries in baseline.cells.items():
        lines = [
            f"   {json.dumps(name)}: "
            + json.dumps(entry.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False)
            for name, entry in entries.items()
        ]
        blocks.append(f"  {json.dumps(cell)}: {{\n" + ",\n".join(lines) + "\n  }")
    head = json.dumps(data, indent=1, ensure_ascii=False).removesuffix("\n}")
    storage.write_text(path, head + ',\n "cells": {\n' + ",\n".join(blocks) + "\n }\n}\n")


def surroundings(record: Record) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Return the versions and the machine that a cell was trained with."""
    environment = record.environment
    versions = dict(environment.get("packages", {}))
    python = ".".join(str(environment.get("python", "")).split(".")[:2])
    machine = {key: environment[key] for key in MACHINE if key in environment}
    return versions | {"python": python or None}, machine | {"device": record.job.get("device")}


def differing(baseline: Baseline, record: Record) -> str:
    """Describe how a cell's versions and machine differ from the baseline's; empty if they are equal."""
    versions, machine = surroundings(record)
    parts = _unlike(baseline.versions, versions, sorted({*versions, *baseline.versions} - APART))
    other = _unlike(baseline.machine, machine, [k for k in (*MACHINE, "device") if k in {*machine, *baseline.machine}])
    return "; ".join([*parts, *([f"other machine: {', '.join(other)}"] if other else [])])


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    pairs = [(key, before.get(key), now.get(key)) for key in keys]
    return [formatting.clean(f"{key} {b or 'unknown'}, baseline {a or 'unknown'}") for key, a, b in pairs if a != b]
