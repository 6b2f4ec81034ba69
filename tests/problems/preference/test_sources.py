"""Rows from files and hubs."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from text_models import scored_rows, write_rows

from una_bench.errors import UserError
from una_bench.problems.preference.sources import Source, read

ROWS = scored_rows(2)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_file_gives_its_rows(tmp_path: Path, name: str) -> None:
    assert read(Source(source=str(write_rows(tmp_path / name, ROWS))))[0] == ROWS


def test_a_json_list_gives_its_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    assert read(Source(source=str(tmp_path / "rows.json")))[0] == ROWS


def test_a_csv_file_gives_its_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('prompt,response,score\n"a, b",c,0.5\n')
    assert read(Source(source=str(tmp_path / "rows.csv")))[0] == [{"prompt": "a, b", "response": "c", "score": "0.5"}]


def test_a_folder_gives_the_rows_of_its_files_in_order(tmp_path: Path) -> None:
    write_rows(tmp_path / "b.jsonl", ROWS[2:])
    write_rows(tmp_path / "a.parquet", ROWS[:2])
    assert read(Source(source=str(tmp_path)))[0] == ROWS


def test_a_line_separator_within_a_json_line_is_text(tmp_path: Path) -> None:
    rows = [{"prompt": "one\u2028two", "response": "x", "score": 1.0}]
    assert read(Source(source=str(write_rows(tmp_path / "rows.jsonl", rows))))[0] == rows


def test_the_hash_is_of_the_content_not_the_name(tmp_path: Path) -> None:
    first, second = write_rows(tmp_path / "a.jsonl", ROWS), write_rows(tmp_path / "b.jsonl", ROWS)
    assert Source(source=str(first)).sha256 == Source(source=str(second)).sha256 != ""


def test_the_same_rows_have_the_same_hash_in_any_file_format(tmp_path: Path) -> None:
    files = [write_rows(tmp_path / name, ROWS) for name in ("a.jsonl", "a.parquet")]
    first, second = (read(Source(source=str(file)))[1] for file in files)
    assert first["rows_sha256"] == second["rows_sha256"]


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    source = Source(source=str(write_rows(tmp_path / "rows.jsonl", ROWS)))
    write_rows(tmp_path / "rows.jsonl", ROWS[:2])
    with pytest.raises(UserError, match=r"rows.jsonl has changed or is damaged"):
        read(source)


def test_a_bare_name_is_a_source() -> None:
    assert Source.model_validate("owner/data") == Source(source="owner/data", split="train")


def test_a_missing_file_is_told_apart_from_a_hub_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no data at .*lost.jsonl"):
        read(Source(source=str(tmp_path / "lost.jsonl")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"prompt": '),
        ("a.parquet", "no"),
        ("a.json", "[1, 2]"),
        ("a.csv", "prompt,chosen\na,b,c\n"),
        ("deep.json", "[" * 100_000),
        ("deep.jsonl", "[" * 100_000),
    ],
)
def test_a_damaged_file_is_one_message(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        read(Source(source=str(tmp_path / name)))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"none.jsonl has no rows"):
        read(Source(source=str(tmp_path / "none.jsonl")))


def test_a_hub_name_is_opened_with_configuration_split_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*args: object, **kwargs: object) -> datasets.Dataset:
        asked.append((args, kwargs))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows, facts = read(Source(source="owner/data", config="small", split="test", revision="abc"))
    assert (rows, asked) == (ROWS, [(("owner/data", "small"), {"split": "test", "revision": "abc"})])
    assert facts["revision"] == "abc"


def test_offline_a_missing_data_set_names_the_command_that_fetches_it() -> None:
    with pytest.raises(UserError, match=r"nobody/nothing is not on this machine.*load_dataset\('nobody/nothing'"):
        read(Source(source="nobody/nothing"))
