"""Tables over draws of a problem, on records whose numbers a reader can work out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import synthetic

from una_bench.errors import UserError
from una_bench.record import reader
from una_bench.record.schema import Better, Record, Status
from una_bench.reporting import export, report
from una_bench.reporting.tables import across_draws, across_runs
from una_bench.reporting.tables.table import Cell, Table

REGRETS = {"dpo": (0.2, 0.3, 0.4), "kto": (0.3, 0.5, 0.7)}
"""Method -> regret in each of three draws; KTO − DPO is 0.1, 0.2, 0.3."""


def record(method: str, draw: int, regret: float | None, *, seed: int = 0, **changes: Any) -> Record:
    prepared = {**synthetic.PREPARED, "problem": f"{draw:016x}", "policy": f"{draw:016x}"}
    facts = {**synthetic.facts(method, trains=method != "base"), "prepared": prepared}
    if regret is None:
        return synthetic.failed(method, seed, Status.DIVERGED).model_copy(update={"facts": facts})
    measured = (synthetic.measurement("oracle.regret.train", "1", Better.LOWER, regret),)
    return synthetic.record(method, seed, facts=facts, measurements=measured, **changes)


def draws(**regrets: tuple[float | None, ...]) -> dict[int, list[Record]]:
    count = len(next(iter(regrets.values())))
    return {n: [record(m, n, values[n]) for m, values in regrets.items()] for n in range(count)}


def write(folder: Path, by_draw: dict[int, list[Record]]) -> Path:
    for number, records in by_draw.items():
        synthetic.write_run(folder / f"draw-{number}" if number else folder, records)
    return folder


def cell(table: Table, row: str, column: str) -> Cell:
    (line,) = (line for line in table.groups[0].lines if line.label == row)
    (place,) = (i for i, c in enumerate(table.columns) if c.head.endswith(column))
    return line.cells[place]


def test_a_mean_is_over_draws_with_seeds_averaged_first() -> None:
    of_seeds = {n: [record("dpo", n, 0.1 * (n + 1) + 0.05 * s, seed=s) for s in (-1, 1)] for n in range(3)}
    mean = cell(across_draws.table(of_seeds), "DPO", "regret (train)").numbers
    assert mean is not None
    half = 4.302652729911275 * 0.1 / 3**0.5  # Student's t with 2 degrees of freedom
    assert (mean["mean"], mean["n"]) == (pytest.approx(0.2), 3)
    assert mean["high"] == pytest.approx(0.2 + half)


def test_the_matrix_counts_the_draws_won_and_tests_them_in_pairs() -> None:
    (matrix,) = across_draws.table(draws(**REGRETS)).then
    won, lost = cell(matrix, "DPO", "KTO"), cell(matrix, "KTO", "DPO")
    assert (won.text, lost.text) == ("3/3", "0/3")
    assert won.numbers is not None
    assert won.numbers["mean"] == pytest.approx(-0.2)
    assert won.numbers["p"] == pytest.approx(1 - 12**0.5 / 14**0.5)  # t = √12 with 2 degrees of freedom


def test_a_resolved_lead_is_marked_on_one_side_alone() -> None:
    (matrix,) = across_draws.table(draws(dpo=(0.2, 0.3, 0.4), kto=(0.4, 0.5, 0.601))).then
    assert (cell(matrix, "DPO", "KTO").best, cell(matrix, "KTO", "DPO").best) == (True, False)


def test_pairs_are_corrected_for_their_number() -> None:
    regrets = {**REGRETS, "ppo": (0.9, 0.2, 0.5)}
    (two,), (three,) = (across_draws.table(draws(**of)).then for of in (REGRETS, regrets))
    alone, among = cell(two, "DPO", "KTO").numbers, cell(three, "DPO", "KTO").numbers
    assert alone is not None
    assert among is not None
    assert among["p"] == pytest.approx(3 * float(alone["p"]))
    assert any("3 pairs" in note for note in three.notes)


def test_equal_values_are_won_by_neither() -> None:
    (matrix,) = across_draws.table(draws(dpo=(0.2, 0.3), kto=(0.2, 0.3 + 1e-12))).then
    assert {cell(matrix, "DPO", "KTO").text, cell(matrix, "KTO", "DPO").text} == {"0/2"}


def test_a_failed_cell_loses_its_draw_and_is_in_no_mean() -> None:
    table = across_draws.table(draws(dpo=(0.2, 0.3, 0.4), kto=(0.1, None, 0.1)))
    (line,) = (line for line in table.groups[0].lines if line.label == "KTO")
    assert line.caveat == "1 lost: diverged"
    assert line.cells[0].numbers is not None
    assert (line.cells[0].numbers["mean"], line.cells[0].numbers["n"]) == (pytest.approx(0.1), 2)
    assert (cell(table.then[0], "KTO", "DPO").text, cell(table.then[0], "DPO", "KTO").text) == ("2/3", "1/3")


def test_two_failed_cells_leave_a_draw_to_neither() -> None:
    (matrix,) = across_draws.table(draws(dpo=(0.2, None), kto=(0.1, None))).then
    assert (cell(matrix, "KTO", "DPO").text, cell(matrix, "DPO", "KTO").text) == ("1/2", "0/2")


def test_an_interrupted_cell_is_neither_value_nor_loss() -> None:
    by_draw = draws(dpo=(0.2, 0.3), kto=(0.1, None))
    by_draw[1][1] = by_draw[1][1].model_copy(update={"status": Status.INTERRUPTED})
    table = across_draws.table(by_draw)
    assert cell(table.then[0], "KTO", "DPO").text == "1/1"
    assert f"{across_draws.FEWER} 1" in table.notes


def test_methods_stand_from_best_to_worst() -> None:
    table = across_draws.table(draws(base=(1.0, 1.0), kto=(0.5, 0.6), dpo=(0.2, 0.1)))
    assert [line.label for line in table.groups[0].lines] == ["DPO", "KTO", "Base (untrained)"]


def test_draws_without_a_record_are_named() -> None:
    assert "not finished, without a record: draw 3, 4" in across_draws.table(draws(**REGRETS), planned=5).notes


def test_a_draw_with_other_settings_is_refused() -> None:
    by_draw = draws(**REGRETS)
    by_draw[2][0] = by_draw[2][0].model_copy(update={"settings": {"beta": 0.1}})
    with pytest.raises(UserError, match="DPO has other settings or another budget in draw 2 than in draw 0"):
        across_draws.table(by_draw)


def test_a_problem_is_counted_once(tmp_path: Path) -> None:
    by_draw = draws(**REGRETS)
    run = write(tmp_path / "run", {**by_draw, 3: by_draw[1]})
    with pytest.raises(UserError, match="draws 1 and 3 are the same problem"):
        reader.draws(run)


def test_a_draw_of_another_suite_is_refused(tmp_path: Path) -> None:
    by_draw = draws(**REGRETS)
    by_draw[1] = [r.model_copy(update={"suite": "other"}) for r in by_draw[1]]
    with pytest.raises(UserError, match=r"draw-1 is of the suite other, the run of exact\."):
        reader.draws(write(tmp_path / "run", by_draw))


def test_the_report_has_a_section_of_draws_and_says_what_the_rest_is_of(tmp_path: Path) -> None:
    page = report.write(write(tmp_path / "run", draws(**REGRETS))).read_text(encoding="utf-8")
    assert 'id="draws"' in page
    assert "Over 3 draws of the problem DPO has the best mean regret (train), 0.30 ± 0.25" in page
    assert "its lead over KTO is not resolved" in page
    assert "is of draw 0 of 3." in page
    assert re.search(r">3/3", page)


def test_a_run_of_one_draw_has_no_such_section(tmp_path: Path) -> None:
    page = report.write(write(tmp_path / "run", {0: draws(**REGRETS)[0]})).read_text(encoding="utf-8")
    assert 'id="draws"' not in page


def test_an_export_numbers_the_draws(tmp_path: Path) -> None:
    run = write(tmp_path / "run", draws(**REGRETS))
    table = pd.read_csv(export.write(run, "csv", tmp_path / "out.csv"))
    assert sorted(zip(table["draw"], table["value"], strict=True)) == sorted(
        (n, values[n]) for values in REGRETS.values() for n in range(3)
    )


@pytest.mark.parametrize("fmt", ["latex", "hf-model-card", "json"])
def test_no_format_drops_draws_silently(fmt: str, tmp_path: Path) -> None:
    text = export.write(write(tmp_path / "run", draws(**REGRETS)), fmt, tmp_path / "out").read_text(encoding="utf-8")
    assert "of 3 draws" in text or "Means over 3 draws" in text or '"draws": {' in text


def test_tables_across_runs_say_that_they_read_one_draw(tmp_path: Path) -> None:
    run = write(tmp_path / "run", draws(**REGRETS))
    note = "run: of draw 0 alone; `una-bench report` shows all 3 draws of the problem"
    assert note in across_runs.leaderboard([run]).notes
    assert note in across_runs.across([run]).notes
