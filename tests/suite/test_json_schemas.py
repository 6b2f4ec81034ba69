"""Formats that others rely on: their schemas are those in the repository, and what was once written stays readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic
import yaml

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.record import reader, storage
from una_bench.record.schema import SCHEMA
from una_bench.suite import json_schemas, recipe

ROOT = Path(__file__).parents[2]
OLD = sorted((ROOT / "tests" / "formats").glob("record-*.jsonl"))


@pytest.mark.parametrize("name", ["record", "recipe"])
def test_the_schema_in_the_repository_is_current(name: str, tmp_path: Path) -> None:
    json_schemas.write(tmp_path)
    file = f"{name}.schema.json"
    kept = ROOT / "docs" / "schemas" / file
    assert kept.read_text() == (tmp_path / file).read_text(), "run python -m una_bench.suite.json_schemas docs/schemas"


def required(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    return set(schema["required"]) <= value.keys() <= schema["properties"].keys()


def test_a_written_record_has_the_keys_of_the_schema(tmp_path: Path) -> None:
    storage.append_record(tmp_path, synthetic.record("dpo", 0))
    assert required(json_schemas.record(), json.loads((tmp_path / "records.jsonl").read_text()))


@pytest.mark.parametrize("name", registry.suite_names())
def test_a_suite_has_the_keys_of_the_schema(name: str) -> None:
    assert required(json_schemas.suite(), yaml.safe_load(recipe.dump(recipe.load(name))))


def test_a_record_of_every_format_is_kept() -> None:
    assert [p.name for p in OLD] == [f"record-{number}.jsonl" for number in range(SCHEMA + 1)]


@pytest.mark.parametrize("path", OLD, ids=lambda p: p.stem)
def test_a_record_of_an_older_format_is_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(path.read_bytes())
    (found,) = reader.records(tmp_path)
    assert (found.cell, found.measurements[0].samples, found.status) == ("dpo-s0", (0.25, 0.5), "ok")


def test_a_recipe_of_this_format_is_read() -> None:
    assert recipe.load(str(ROOT / "tests" / "formats" / "recipe-1.yaml")).budget.responses == 64


def test_a_newer_record_is_refused_with_the_version_needed(tmp_path: Path) -> None:
    line = json.loads((ROOT / "tests" / "formats" / f"record-{SCHEMA}.jsonl").read_text())
    (tmp_path / "records.jsonl").write_text(json.dumps({**line, "schema": SCHEMA + 1}))
    with pytest.raises(UserError, match=rf"has format {SCHEMA + 1}; this una-bench \S+ reads up to {SCHEMA}\. Upgrade"):
        reader.records(tmp_path)


def test_a_newer_recipe_is_refused_with_the_version_needed() -> None:
    with pytest.raises(UserError, match=r"has schema 2; this una-bench reads up to 1\. Upgrade"):
        recipe.load("exact", ["schema=2"])
