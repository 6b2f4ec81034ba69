"""Seven regressions planted in the running code, real trainings with each, and the gate on their records."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import planted
import pytest
from typer.testing import CliRunner

from una_bench.cli import app
from una_bench.gate import baseline, compare, update

UNCHANGED = ("first", "second")
"""Runs of unchanged code. A baseline of one allows a step 37.5 %, of which a plant of 50 % leaves 9 % to noise."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of unchanged code, another of it, and one with each plant; in a process of its own."""
    folder = tmp_path_factory.mktemp("planted")
    places = os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places, "UNA_BENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", "import planted; planted.main()", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def against_unchanged(runs: Path, name: str, unchanged: tuple[str, ...] = UNCHANGED) -> tuple[int, list[str]]:
    """Gate one run against what unchanged code did to the same method: exit status, and the lines of regressions."""
    expected = update.make([runs / one for one in unchanged])
    method = {plant.__name__: method for plant, method in planted.PLANTS.items()}.get(name)
    cells = {cell: e for cell, e in expected.cells.items() if method is None or cell == f"{method}-s0"}
    file = runs / f"{name}.json"
    baseline.write(file, expected.model_copy(update={"cells": cells}))
    result = CliRunner().invoke(app.app, ["gate", str(runs / name), "--baseline", str(file)])
    return result.exit_code, [line for line in result.output.splitlines() if line.startswith("regression")]


def test_unchanged_code_stays_green(runs: Path) -> None:
    assert against_unchanged(runs, "second", unchanged=("first",)) == (0, [])


def test_unchanged_code_trains_the_same_weights(runs: Path) -> None:
    verdicts = compare.check([runs / "second"], update.make([runs / "first"]))
    finals = [v.outcome for v in verdicts if v.name == "weights.final"]
    assert finals == [compare.Outcome.AS_EXPECTED] * 3


@pytest.mark.parametrize(
    ("plant", "figure"),
    [
        ("wrong_sign", "una_score-s0 loss after 16 responses"),
        ("swapped_weights", "kto-s0 loss after 16 responses"),
        ("trained_reference", "una_online-s0 reference.weights: changed while training"),
        ("padding_as_tokens", "una_score-s0 tokens.response"),
        ("waiting_step", "una_score-s0 pace.step"),
        ("working_step", "una_score-s0 pace.step"),
        ("more_memory", "una_score-s0 memory.peak_over_held"),
        ("other_seed", "una_score-s0 weights.final"),
    ],
)
def test_the_gate_catches(runs: Path, plant: str, figure: str) -> None:
    status, lines = against_unchanged(runs, plant)
    assert status == 1
    assert any(line.startswith(f"regression: {figure}") for line in lines), lines


@pytest.mark.parametrize("plant", ["padding_as_tokens", "waiting_step", "working_step", "more_memory"])
def test_what_leaves_training_as_it_is_moves_no_weights_and_no_loss(runs: Path, plant: str) -> None:
    _, lines = against_unchanged(runs, plant)
    assert not [line for line in lines if "weights.final" in line or " loss after " in line]


def test_every_plant_has_a_test() -> None:
    marks = test_the_gate_catches.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {plant for plant, _ in marks} == {plant.__name__ for plant in planted.PLANTS}
