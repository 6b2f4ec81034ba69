"""The paper's tables of judged answers beside ours, which are comparable only with the same judge and prompts."""

from __future__ import annotations

import pytest
import synthetic

from una_bench.record.schema import Better, Measurement
from una_bench.reporting.tables.table import Table
from una_bench.reproduction import comparison, published_numbers, targets

PAPER = published_numbers.load()
AIM = targets.target(
    {
        "tables": ["6"],
        "rows": {"UNA": {"method": "una_online"}},
        "assumed": {"prompt_tokens": 1, "response_tokens": 1},
    },
    "test",
)


def compared(judge: str, prompts: str = "mt_bench") -> Table:
    """Compare three seeds that a judge gave the paper's grade."""
    grade = Measurement(
        metric=f"judge.grade.{prompts}",
        unit="1",
        better=Better.HIGHER,
        samples=(5.02,),
        how=f"mean grade; judge {judge}",
    )
    records = [synthetic.record("una_online", seed, measurements=(grade,)) for seed in range(3)]
    return comparison.table(records, AIM, PAPER, name="una-table4")


def verdict(table: Table, row: str, label: str) -> str:
    group = next(g for g in table.groups if g.heading.startswith(f"Table 6 (Qwen2-1.5B), {row}"))
    return next(line.cells[3].text for line in group.lines if line.label.startswith(label))


@pytest.mark.parametrize(
    ("judge", "prompts", "expected"),
    [
        ("gpt-4-0613, prompt una-bench-grade 1", "mt_bench", "agrees"),
        ("smollm2, prompt una-bench-grade 1", "mt_bench", "not comparable"),
        ("gpt-4-0613, prompt una-bench-grade 1", "heldout", "not run"),
    ],
)
def test_a_grade_is_comparable_only_from_the_papers_judge_on_its_prompts(
    judge: str, prompts: str, expected: str
) -> None:
    assert verdict(compared(judge, prompts), "UNA", "MT-Bench") == expected


def test_what_no_judge_was_asked_is_not_run_with_the_papers_number_beside_it() -> None:
    table = compared("gpt-4")
    assert verdict(table, "UNA", "AlpacaEval") == verdict(table, "RLHF", "MT-Bench") == "not run"
    group = next(g for g in table.groups if g.heading.startswith("Table 6 (Qwen2-1.5B), UNA"))
    assert [line.cells[0].text for line in group.lines] == ["5.02", "1.63"]
    assert comparison.JUDGED in table.notes
