"""A run over draws of a problem: its folders, its status, and what a later call adds."""

from __future__ import annotations

import json
from pathlib import Path

import plugin
import pytest

from una_bench.record import reader
from una_bench.record.schema import Status

RECIPE = {**plugin.RECIPE, "settings": {"breaks": [{"how": "not"}, {"how": "nan"}]}}


class Drawn:
    """A run of two draws in which one variant diverges, and then one of three draws into the same folder."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.first = plugin.call(folder, {**RECIPE, "draws": 2})
        self.keys = {n: [r.key for r in records] for n, records in reader.draws(self.run).items()}
        self.second = plugin.call(folder, RECIPE, "--draws", "3", "--quiet")
        self.prepared = (folder / "prepared.txt").read_text().count("\n")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return Drawn(tmp_path_factory.mktemp("drawn"))


def test_each_draw_is_a_run_with_all_cells(drawn: Drawn) -> None:
    cells = {"base-s0", "breaks[how=not]-s0", "breaks[how=nan]-s0"}
    by_draw = reader.draws(drawn.run)
    assert {n: {r.cell for r in records} for n, records in by_draw.items()} == {0: cells, 1: cells, 2: cells}
    assert (drawn.run / "draw-1" / "report.html").is_file()


def test_draws_differ_in_every_key(drawn: Drawn) -> None:
    assert len(drawn.keys[0]) == len(drawn.keys[1]) == 3
    assert not set(drawn.keys[0]) & set(drawn.keys[1])


def test_a_failure_in_any_draw_is_said_with_its_draw_and_ends_with_status_3(drawn: Drawn) -> None:
    code, out, err = drawn.first
    assert code == 3, err
    assert "diverged breaks[how=nan]-s0" in out
    assert "diverged draw-1, breaks[how=nan]-s0" in out
    assert all(Status.DIVERGED in {r.status for r in records} for records in reader.draws(drawn.run).values())


def test_the_tables_over_draws_are_printed_and_saved(drawn: Drawn) -> None:
    assert "Means over 2 draws of the problem" in drawn.first[1]
    assert "Means over 3 draws of the problem" in (drawn.run / "draws.md").read_text()


def test_a_later_call_adds_draws_and_repeats_nothing(drawn: Drawn) -> None:
    assert "1 cells trained now" in drawn.second[1], drawn.second[1]
    assert drawn.prepared == 3
    assert [r.key for r in reader.draws(drawn.run)[1]] == drawn.keys[1]
    assert json.loads((drawn.run / "run.json").read_text())["draws"] == 3
