"""Whatever a file holds, its reader returns what it should or says what is wrong; the same examples every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import record

from una_bench.errors import UserError
from una_bench.record import line, reader
from una_bench.record.schema import Record
from una_bench.suite import recipe
from una_bench.suite.recipe import Recipe

few = settings(
    max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
WHOLE = line.dump(record("dpo", 0))
RECIPE = yaml.safe_load(recipe.dump(recipe.load("exact")))
PLACES = [(p, k) for p in ("problem", "training", "settings", "budget", "benchmarks") for k in sorted(RECIPE[p])]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def read_records(folder: Path, content: bytes) -> list[Record]:
    (folder / "records.jsonl").write_bytes(content)
    try:
        return reader.records(folder)
    except UserError:
        return []


def read_recipe(folder: Path, content: bytes) -> Recipe | None:
    (folder / "r.yaml").write_bytes(content)
    try:
        return recipe.load(str(folder / "r.yaml"))
    except UserError:
        return None


@few
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_records(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read_records(tmp_path_factory.getbasetemp(), content) == []


@few
@given(value=values)
def test_any_json_as_a_record(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read_records(tmp_path_factory.getbasetemp(), json.dumps(value).encode()) == []


@few
@given(key=st.sampled_from(sorted(json.loads(WHOLE))), value=values)
def test_a_record_with_any_value_in_one_place(key: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    line = json.dumps({**json.loads(WHOLE), key: value})
    assert all(isinstance(r, Record) for r in read_records(tmp_path_factory.getbasetemp(), line.encode()))


@few
@given(place=st.integers(0, len(WHOLE.encode()) - 1), byte=st.integers(0, 255))
def test_a_record_with_any_byte_in_one_place(place: int, byte: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    line = bytearray(WHOLE.encode())
    line[place] = byte
    assert all(isinstance(r, Record) for r in read_records(tmp_path_factory.getbasetemp(), bytes(line)))


@few
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_a_recipe(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read_recipe(tmp_path_factory.getbasetemp(), content) is None


@few
@given(key=st.sampled_from(sorted(RECIPE)), value=values)
def test_a_recipe_with_any_value_in_one_place(key: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = yaml.safe_dump({**RECIPE, key: value}, allow_unicode=True).encode("utf-8", "surrogatepass")
    found = read_recipe(tmp_path_factory.getbasetemp(), content)
    assert found is None or isinstance(found, Recipe)


@few
@given(place=st.sampled_from(PLACES), value=values)
def test_a_recipe_with_any_value_one_level_down(
    place: tuple[str, str], value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    part, key = place
    content = yaml.safe_dump({**RECIPE, part: {**RECIPE[part], key: value}}, allow_unicode=True)
    found = read_recipe(tmp_path_factory.getbasetemp(), content.encode("utf-8", "surrogatepass"))
    assert found is None or isinstance(found, Recipe)


@few
@given(override=st.text(max_size=20) | st.tuples(st.sampled_from(sorted(RECIPE)), st.text(max_size=9)).map("=".join))
def test_any_override(override: str) -> None:
    try:
        assert isinstance(recipe.load("exact", [override]), Recipe)
    except UserError:
        return
