"""A baseline: what the gate compares a run with, in a file that a person reviews line by line."""

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
"""Packages that decide nothing in training: una-bench is what is judged."""
MACHINE = ("machine", "cpu", "cpu_id", "cpu_capability", "threads", "accelerator", "capability")
"""Keys of a record's environment that decide how sums are cut and how fast they are."""
BY_HAND = "by hand"
"""How the ``from`` of a bound begins that an update must leave as it is."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Limits = Literal["exact"] | tuple[Number | None, Number | None]
"""``exact``, or the lowest and the highest value that pass; null is no limit on that side."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Entry(_Frozen):
    """One figure of one cell, and what may become of it."""

    kind: Kind
    value: int | Number | str
    unit: str = "1"
    better: Better = Better.NEITHER
    here: Limits
    """Limits with the same versions on the same kind of machine."""
    elsewhere: Limits | None = None
    """Limits with other versions or on another kind of machine; null: not compared there."""
    source: str = Field(validation_alias="from", serialization_alias="from")
    """Where the limits come from."""


class Baseline(_Frozen):
    """Everything that a run is compared with."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["baseline"] = "baseline"
    suite: str
    key: str
    """Of the recipe, as the run's own ``run.json`` has it."""
    runs: int = Field(gt=0)
    """Runs of unchanged code that it was made of."""
    versions: dict[str, str | None]
    machine: dict[str, Any]
    cells: dict[str, dict[str, Entry]] = Field(min_length=1)


def find(name: str) -> Path:
    """Return the file of a baseline: a path, with or without ``.json``, or a name in ``results/baselines``."""
    given = Path(name)
    places = [given, Path(f"{name}.json"), FOLDER / f"{name}.json"]
    return next((place for place in places if place.is_file()), given)


def read(name: str) -> Baseline:
    """Read a baseline.

    Raises:
        UserError: There is none, or it is not one that this version reads.
    """
    if not name:
        raise UserError("--baseline is empty. Give a file, or the name of one in results/baselines.")
    path = find(name)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        known = [p.stem for p in FOLDER.glob("*.json")]
        raise UserError(
            f"There is no baseline {name}.{nearest(path.stem, known)} "
            f"`una-bench baseline update RUN --baseline {name}` makes one."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}. Make it anew with `una-bench baseline update`.") from None
    number = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or raw.get("kind") != "baseline" or not isinstance(number, int):
        raise UserError(f"{path} is not a baseline. `una-bench baseline update RUN --baseline NAME` makes one.")
    if number > SCHEMA:
        raise UserError(
            f"{path} has format {number}; this una-bench {VERSION} reads up to {SCHEMA}. Upgrade una-bench."
        )
    try:
        return Baseline.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = formatting.clean(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
        raise UserError(
            f"{path} is not a valid baseline: {where}. Make it anew with `una-bench baseline update`."
        ) from None


def write(path: Path, baseline: Baseline) -> None:
    """Write one figure a line."""
    data = baseline.model_dump(mode="json", by_alias=True)
    del data["cells"]
    blocks = []
    for cell, entries in baseline.cells.items():
        lines = [f"   {json.dumps(name)}: {_line(entry)}" for name, entry in entries.items()]
        blocks.append(f"  {json.dumps(cell)}: {{\n" + ",\n".join(lines) + "\n  }")
    head = json.dumps(data, indent=1, ensure_ascii=False).removesuffix("\n}")
    storage.write_text(path, head + ',\n "cells": {\n' + ",\n".join(blocks) + "\n }\n}\n")


def _line(entry: Entry) -> str:
    content = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(content, ensure_ascii=False)


def surroundings(record: Record) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Return the versions and the kind of machine that a cell was trained with."""
    environment = record.environment
    versions = dict(environment.get("packages", {}))
    python = ".".join(str(environment.get("python", "")).split(".")[:2])
    machine = {key: environment[key] for key in MACHINE if key in environment}
    return versions | {"python": python or None}, machine | {"device": record.job.get("device")}


def differing(baseline: Baseline, record: Record) -> str:
    """Say what a cell's surroundings have that the baseline's have not; nothing where they are the same."""
    versions, machine = surroundings(record)
    parts = _unlike(baseline.versions, versions, sorted({*versions, *baseline.versions} - APART))
    other = _unlike(baseline.machine, machine, [k for k in (*MACHINE, "device") if k in {*machine, *baseline.machine}])
    return "; ".join([*parts, *([f"other machine: {', '.join(other)}"] if other else [])])


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    pairs = [(key, before.get(key), now.get(key)) for key in keys]
    return [formatting.clean(f"{key} {b or 'unknown'}, baseline {a or 'unknown'}") for key, a, b in pairs if a != b]
