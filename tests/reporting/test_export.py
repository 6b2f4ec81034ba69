"""Results for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import goldens
import pandas as pd
import pytest
import synthetic
import yaml

from una_bench.errors import UserError
from una_bench.record.schema import Record
from una_bench.reporting import export


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic.write_run(tmp_path / "run-a")


@pytest.mark.parametrize(("fmt", "name"), [("csv", "export.csv"), ("hf-model-card", "card.md")])
def test_a_text_export_is_as_it_was(fmt: str, name: str, run: Path, tmp_path: Path) -> None:
    goldens.same(name, export.write(run, fmt, tmp_path / "out").read_text(encoding="utf-8"))


def test_latex_holds_the_table_of_results(run: Path, tmp_path: Path) -> None:
    text = export.write(run, "latex", tmp_path / "results.tex").read_text(encoding="utf-8")
    assert (goldens.FOLDER / "results.tex").read_text(encoding="utf-8").startswith(text)


def test_csv_and_parquet_hold_the_same(run: Path, tmp_path: Path) -> None:
    csv = pd.read_csv(export.write(run, "csv", tmp_path / "a.csv"), keep_default_na=False, na_values=[""])
    parquet = pd.read_parquet(export.write(run, "parquet", tmp_path / "a.parquet"))
    assert csv["value"].equals(parquet["value"])


def test_every_measurement_of_every_cell_has_a_line(run: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(export.write(run, "parquet", tmp_path / "a.parquet"))
    expected = sum(len(r.measurements) or 1 for r in synthetic.records())
    assert len(table) == expected


def test_a_failed_cell_has_a_line_with_its_status(run: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(export.write(run, "parquet", tmp_path / "a.parquet"))
    assert table.loc[table["cell"] == "ppo-s2", "status"].tolist() == ["out_of_memory"]


def test_json_holds_the_records_whole(run: Path, tmp_path: Path) -> None:
    whole = json.loads(export.write(run, "json", tmp_path / "a.json").read_text())
    assert {Record.model_validate(r).cell for r in whole["records"]} == {r.cell for r in synthetic.records()}


def test_the_model_card_has_metadata_that_yaml_reads(run: Path, tmp_path: Path) -> None:
    text = export.write(run, "hf-model-card", tmp_path / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert "Base (untrained)" in [model["name"] for model in head["model-index"]]


def test_an_unknown_format_suggests_the_nearest(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'parquet'"):
        export.write(run, "parket", tmp_path / "x")


def test_a_folder_as_file_is_the_users_to_fix(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        export.write(run, "csv", tmp_path)


def test_a_run_without_records_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no records"):
        export.write(tmp_path, "csv", tmp_path / "x.csv")
