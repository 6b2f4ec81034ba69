"""Cells whose code has changed since are trained again, and only those, unless an option keeps them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import plugin
import pytest

from una_bench.record import reader
from una_bench.reporting import fairness

METHOD = """
from fake_methods import Breaks

class Own(Breaks):
    label = "{name}"
"""
PROBLEM = """
from typing import Literal

from fake_methods import Fake

class Own(Fake):
    kind: Literal["own_problem"] = "own_problem"
"""
POINTS = """
[una_bench.problems]
own_problem = own_problem:Own
[una_bench.methods]
first = first:Own
second = second:Own
"""
RECIPE: dict[str, Any] = {
    **plugin.RECIPE,
    "problem": {"kind": "own_problem"},
    "methods": ["first", "second"],
    "settings": {"first": {"wait": 0.0}, "second": {"wait": 0.0}},
}
ROOT = Path(__file__).parents[2]


def install(folder: Path) -> Path:
    """Write a package with two methods and a problem, each in a file of its own, and return its folder."""
    package = plugin.install(folder / "plugin")
    about = package / "own-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    for name in ("first", "second"):
        (package / f"{name}.py").write_text(METHOD.format(name=name))
    (package / "own_problem.py").write_text(PROBLEM)
    return package


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and a run of it."""
    folder = tmp_path_factory.mktemp("finished") / "all"
    install(folder)
    status, _, errors = plugin.call(folder, RECIPE)
    assert status == 0, errors
    return folder


@pytest.fixture
def ran(finished: Path, tmp_path: Path) -> Path:
    """The package, in a copy of the folder that has a run, too."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "plugin"


def edit(file: Path) -> None:
    file.write_text(file.read_text() + "\n# edited\n")


def trained(folder: Path) -> dict[str, int]:
    """Method -> when its cell was trained."""
    return {p.parent.name.split("-")[0]: p.stat().st_mtime_ns for p in folder.glob("run/cells/*/trained.json")}


def code_line(folder: Path) -> tuple[str, str]:
    line = next(one for one in fairness.ledger(reader.records(folder / "run")) if one.topic == "code")
    return str(line.verdict), line.detail


def test_a_method_that_was_edited_is_trained_again_and_nothing_else(ran: Path, tmp_path: Path) -> None:
    before = trained(tmp_path)
    edit(ran / "first.py")
    status, out, errors = plugin.call(tmp_path, RECIPE)
    after = trained(tmp_path)
    assert status == 0 and "1 cells trained now" in out
    assert (
        "1 cell was trained with other code of first (first.py) and is trained again: first-s0; "
        "--keep-old-code keeps it" in errors
    )
    assert {name for name in before if after[name] != before[name]} == {"first"}
    assert code_line(tmp_path) == ("OK", "same for all cells")


def test_a_dry_run_says_which_cells_would_be_trained_again(ran: Path, tmp_path: Path) -> None:
    edit(ran / "first.py")
    before = trained(tmp_path)
    status, _, errors = plugin.call(tmp_path, RECIPE, "--dry-run")
    assert (status, trained(tmp_path)) == (0, before)
    assert "is trained again: first-s0" in errors


def test_without_a_change_nothing_is_said_and_nothing_done(ran: Path, tmp_path: Path) -> None:
    records, before = (tmp_path / "run" / "records.jsonl").read_bytes(), trained(tmp_path)
    _, out, errors = plugin.call(tmp_path, RECIPE)
    assert "0 cells trained now" in out and "other code" not in errors
    assert ((tmp_path / "run" / "records.jsonl").read_bytes(), trained(tmp_path)) == (records, before)


def test_an_option_keeps_cells_of_other_code_and_the_ledger_says_so(ran: Path, tmp_path: Path) -> None:
    edit(ran / "first.py")
    _, out, errors = plugin.call(tmp_path, RECIPE, "--keep-old-code")
    assert "0 cells trained now" in out and "again" not in errors
    assert code_line(tmp_path) == ("DIFFERS", "first-s0: other code (first.py)")
    (ran / "first.py").write_text(METHOD.format(name="first"))
    _, out, _ = plugin.call(tmp_path, RECIPE)
    assert ("0 cells trained now" in out, code_line(tmp_path)[0]) == (True, "OK")


def test_a_problem_that_was_edited_is_prepared_again_and_every_cell_with_it(ran: Path, tmp_path: Path) -> None:
    edit(ran / "own_problem.py")
    _, out, errors = plugin.call(tmp_path, RECIPE)
    assert "2 cells trained now" in out
    assert "3 cells were trained with other code (preparation of own_problem)" in errors
    assert len((tmp_path / "prepared.txt").read_text().splitlines()) == 2


def test_the_option_keeps_what_other_code_prepared_for_new_cells_too(ran: Path, tmp_path: Path) -> None:
    edit(ran / "own_problem.py")
    _, out, _ = plugin.call(tmp_path, RECIPE, "--keep-old-code", "--seeds", "0,1")
    assert "2 cells trained now" in out
    assert len((tmp_path / "prepared.txt").read_text().splitlines()) == 1
    assert code_line(tmp_path)[1].startswith("base-s0, first-s0, first-s1, second-s0, second-s1: other code")


def test_a_failed_cell_is_tried_again_with_changed_code_and_without_what_the_old_left(tmp_path: Path) -> None:
    package = install(tmp_path)
    broken = {**RECIPE, "settings": {**RECIPE["settings"], "first": {"wait": 0.0, "how": "crash"}}}
    assert plugin.call(tmp_path, broken)[0] == 3
    (cell,) = tmp_path.glob("run/cells/first-*")
    (cell / "mended").touch()  # with which the same code would go on
    edit(package / "first.py")
    status, _, errors = plugin.call(tmp_path, broken)
    assert (status, (cell / "mended").exists()) == (3, False)
    assert "first-s0 (train): RuntimeError" in errors


CODE = """
import json, sys
from una_bench.suite import plan, recipe
made = plan.make(recipe.load("exact"), ["dpo"], [0])
print(json.dumps([made.preparation, made.cells[-1].code]))
"""


def code_of(checkout: Path) -> Any:
    found = subprocess.run([sys.executable, "-c", CODE], cwd=checkout, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


@pytest.mark.parametrize(
    ("file", "trains", "prepares", "judges"),
    [
        ("una_bench/reporting/fairness.py", False, False, False),
        ("una_bench/orchestration/runner.py", False, False, False),
        ("una_bench/suite/plan.py", False, False, False),
        ("methods/kto.py", False, False, False),
        ("methods/dpo.py", True, False, False),
        ("benchmarks/memory.py", True, False, False),
        ("benchmarks/leaderboard.py", False, False, True),
        ("una_bench/evaluation/tasks.py", False, False, True),
        ("una_bench/una/losses.py", True, True, False),
        ("una_bench/problems/exact/tree.py", True, True, False),
        ("una_bench/problems/preference/tables.py", False, False, False),
    ],
)
def test_only_code_that_runs_in_workers_counts(
    checkout: Path, file: str, trains: bool, prepares: bool, judges: bool
) -> None:
    preparation, code = code_of(checkout)
    before = (checkout / file).read_text()
    edit(checkout / file)
    now, edited = code_of(checkout)
    (checkout / file).write_text(before)
    assert (now != preparation) == prepares
    assert (edited["evaluation"] != code["evaluation"]) == judges
    assert ((edited["method"], edited["training"]) != (code["method"], code["training"])) == trains


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code of this repository."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("una_bench", "methods", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "studies"))
    return folder
