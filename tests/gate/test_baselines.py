"""Baselines of the gate: written, read, updated, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic
from gate_records import elsewhere, one
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.gate import baseline, update
from una_bench.gate.compare import check


def call(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app.app, [str(a) for a in arguments])


def test_update_writes_a_baseline_that_the_run_passes(write: Callable[..., Path], tmp_path: Path) -> None:
    run, file = write("run", one(), one("kto")), tmp_path / "new.json"
    assert call("baseline", "update", run, "--baseline", file).exit_code == 0
    assert call("gate", run, "--baseline", file).exit_code == 0


def test_a_baseline_has_one_figure_a_line(write: Callable[..., Path], tmp_path: Path) -> None:
    baseline.write(tmp_path / "b.json", update.make([write("run", one())]))
    lines = (tmp_path / "b.json").read_text().splitlines()
    assert [line for line in lines if '"loss.128"' in line and '"from"' in line]


def test_a_baseline_is_read_as_it_was_written(write: Callable[..., Path], tmp_path: Path) -> None:
    made = update.make([write("run", one(), one("kto"))])
    baseline.write(tmp_path / "b.json", made)
    assert baseline.read(str(tmp_path / "b.json")) == made


def test_a_bare_name_is_one_in_the_folder_of_baselines(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    baseline.FOLDER.mkdir(parents=True)
    run = write("run", one())
    assert call("baseline", "update", run, "--baseline", "mine").exit_code == 0
    assert (baseline.FOLDER / "mine.json").is_file()
    assert call("gate", run, "--baseline", "mine").exit_code == 0


def test_update_prints_what_moved(write: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    call("baseline", "update", write("a", one()), "--baseline", file)
    result = call("baseline", "update", write("b", one(loss=0.5), one("kto")), "--baseline", file)
    assert "dpo-s0 loss.128: 0.4 -> 0.5 (+25.00%)" in result.output
    assert "kto-s0: new" in result.output


def test_update_of_the_same_moves_nothing(write: Callable[..., Path], tmp_path: Path) -> None:
    file, run = tmp_path / "b.json", write("a", one())
    call("baseline", "update", run, "--baseline", file)
    assert "no changes" in call("baseline", "update", run, "--baseline", file).output


def test_update_leaves_limits_that_were_set_by_hand(write: Callable[..., Path], tmp_path: Path) -> None:
    file, run = tmp_path / "b.json", write("a", one())
    call("baseline", "update", run, "--baseline", file)
    content = json.loads(file.read_text())
    entry = content["cells"]["dpo-s0"]["pace.step"]
    entry.update({"here": [None, 11.0], "from": "by hand: a promise to our users"})
    file.write_text(json.dumps(content))
    call("baseline", "update", write("b", one(pace=10.5)), "--baseline", file)
    kept = baseline.read(str(file)).cells["dpo-s0"]["pace.step"]
    assert (kept.value, kept.here, kept.source) == (10.5, (None, 11.0), "by hand: a promise to our users")


def test_further_seeds_widen_the_interval_and_add_no_cell(write: Callable[..., Path]) -> None:
    seeds = write("seeds", *(one(seed=s, regret=0.5 + 0.01 * s) for s in range(4)))
    made = update.make([write("run", one()), seeds])
    assert list(made.cells) == ["dpo-s0"]
    assert "from 4 seeds" in made.cells["dpo-s0"]["oracle.regret.train"].source


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "newer": ({"schema": 2}, "has format 2; this una-bench"),
    "not one": ({"kind": "cell"}, "is not a baseline"),
    "other suite": ({"suite": "other"}, "is a run of the suite exact; the baseline is of other"),
    "other recipe": ({"key": "fedcba"}, "is a run of another recipe"),
    "no cells": ({"cells": {}}, "is not a valid baseline: cells"),
    "unknown key": ({"extra": 1}, "is not a valid baseline: extra"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_baseline_that_does_not_fit_is_refused(write: Callable[..., Path], tmp_path: Path, case: str) -> None:
    change, message = BAD[case]
    run, file = write("run", one()), tmp_path / "b.json"
    baseline.write(file, update.make([run]))
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        check([run], baseline.read(str(file)))


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "is not a baseline")])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match=message):
        baseline.read(str(tmp_path / "b"))


def test_a_missing_baseline_is_refused_with_how_to_make_one() -> None:
    with pytest.raises(UserError, match=r"There is no baseline nowhere.*baseline update RUN --baseline nowhere"):
        baseline.read("nowhere")


def test_a_baseline_of_a_failed_cell_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"dpo-s0 of .* a baseline needs cells that succeeded"):
        update.make([write("run", synthetic.failed("dpo", 0))])


def test_runs_of_two_machines_make_no_baseline(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"versions or machine: .* cpu_id another vendor"):
        update.make([write("a", one()), write("b", elsewhere())])


def test_runs_of_two_recipes_make_no_baseline(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="another recipe"):
        update.make([write("a", one()), write("b", one(), key="other")])


def test_a_run_that_does_not_name_its_recipe_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"no run\.json that names its recipe"):
        update.make([write("run", one(), key=None)])
