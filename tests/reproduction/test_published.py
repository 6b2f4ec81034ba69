"""The published numbers: that they are whole, and that what is claimed of them follows from them by arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from una_bench.errors import UserError
from una_bench.evaluation.leaderboards import GROUPS
from una_bench.reproduction import published_numbers
from una_bench.reproduction.published_numbers import AVERAGE

PAPER = [t for t in published_numbers.load().tables if t.provenance == "primary"]
WITH_AVERAGE = [(t, r) for t in PAPER if AVERAGE in t.columns for r in t.rows]


def test_every_number_of_the_six_tables_is_there() -> None:
    counts = {t.table: sum(len(row.values) for row in t.rows) for t in PAPER}
    assert counts == {"1": 42, "2": 42, "3": 12, "4": 21, "5": 21, "6": 6}


def test_every_record_says_source_table_row_and_line() -> None:
    assert all(t.source == "arXiv:2408.15339v2" and t.table for t in PAPER)
    assert all(row.row and row.line for t in PAPER for row in t.rows)


def test_tasks_have_the_names_of_the_leaderboards() -> None:
    tables = [t for t in published_numbers.load().tables if t.leaderboard]
    assert all([e.name for e in GROUPS[t.leaderboard]] == [c for c in t.columns if c != AVERAGE] for t in tables)


def rounded(values: list[float]) -> Decimal:
    """Mean of printed numbers, half-way ones rounded up, in exact decimals."""
    mean = sum(Decimal(str(v)) for v in values) / len(values)
    return mean.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def test_there_are_eighteen_averages() -> None:
    assert len(WITH_AVERAGE) == 18


@pytest.mark.parametrize(("table", "row"), WITH_AVERAGE, ids=lambda x: getattr(x, "row", None) or x.table)
def test_a_printed_average_is_the_mean_of_its_row(
    table: published_numbers.PublishedTable, row: published_numbers.Row
) -> None:
    values = table.row(row.row)
    printed = values.pop(AVERAGE)
    assert rounded(list(values.values())) == Decimal(str(printed)).quantize(Decimal("0.01"))


def won(*tables: str, averages: bool) -> tuple[int, int]:
    """Columns in which UNA is above RLHF, and columns."""
    found = published_numbers.load()
    pairs = [
        (found.table(t).row("UNA")[c], found.table(t).row("RLHF")[c])
        for t in tables
        for c in found.table(t).columns
        if averages or c != AVERAGE
    ]
    return sum(a > b for a, b in pairs), len(pairs)


def test_una_is_above_rlhf_on_ten_of_twelve_tasks() -> None:
    assert won("4", "5", averages=False) == (10, 12)


def test_twelve_of_fourteen_holds_with_the_two_averages_counted_as_tasks() -> None:
    assert won("4", "5", averages=True) == (12, 14)


def test_twelve_of_fourteen_also_holds_with_mt_bench_and_alpacaeval_instead() -> None:
    assert [a + b for a, b in zip(won("4", "5", averages=False), won("6", averages=True), strict=True)] == [12, 14]


@pytest.mark.parametrize(("claim", "ratio"), [("training-time", 2.29), ("training-time-v3", 1.23)])
def test_the_claim_of_training_time_is_a_ratio_of_hours(claim: str, ratio: float) -> None:
    assert published_numbers.load().claim(claim).ratio == pytest.approx(ratio, abs=0.005)


def test_what_was_read_in_a_summary_is_marked_secondary() -> None:
    found = published_numbers.load()
    assert {t.table for t in found.tables if t.provenance == "secondary"} == {"v3-online"}
    assert [c.provenance for c in found.claims] == ["primary", "secondary"]


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"There is no published table '7'\..*Choose from: 1, 2, 3, 4, 5, 6, v3-online"):
        published_numbers.load().table("7")


def test_a_row_with_a_missing_number_is_refused(tmp_path: Path) -> None:
    text = (published_numbers.folder() / "una.yaml").read_text()
    (tmp_path / "una.yaml").write_text(text.replace("[44.11, 29.53,", "[44.11,"))
    with pytest.raises(UserError, match="is damaged"):
        published_numbers.load(tmp_path / "una.yaml")
