"""Runs beside each other: differences, refusals, ranks and Pareto marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import goldens
import pytest
import synthetic
from synthetic import record

from una_bench.errors import UserError
from una_bench.record.schema import Record
from una_bench.reporting.tables import across_runs, render
from una_bench.reporting.tables.table import Cell, Table


def shifted(found: list[Record], by: float, **changes: Any) -> list[Record]:
    """The same records with every reading moved."""
    return [
        r.model_copy(
            update={
                "measurements": tuple(m.model_copy(update={"samples": (m.samples[0] + by,)}) for m in r.measurements),
                **{k: v for k, v in changes.items() if k != "environment" or r.environment},
            }
        )
        for r in found
    ]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    second = shifted(synthetic.records(), 0.05)
    return [synthetic.write_run(tmp_path / "first"), synthetic.write_run(tmp_path / "second", second)]


def cell(made: Table, metric: str, method: str, column: str) -> Cell:
    place = [c.head for c in made.columns].index(column)
    lines = [line for group in made.groups for line in group.lines if line.names.get("metric", metric) == metric]
    return next(line for line in lines if line.names["method"] == method).cells[place]


def test_the_comparison_is_as_it_was(runs: list[Path]) -> None:
    made = across_runs.across(runs, "dpo")
    goldens.same("compare.md", render.markdown(made))
    goldens.same("compare.csv", goldens.rounded(render.csv(made)))


def test_the_leaderboard_is_as_it_was(runs: list[Path]) -> None:
    goldens.same("leaderboard.md", render.markdown(across_runs.leaderboard(runs)))


def test_a_method_is_subtracted_from_itself_in_the_first_run(runs: list[Path]) -> None:
    found = cell(across_runs.across(runs), "oracle.regret.train", "dpo", "second − first")
    assert (found.text, found.caveat) == ("+0.050 ± 0", "worse")


def test_speed_on_another_machine_is_refused_and_quality_is_not(tmp_path: Path) -> None:
    other = shifted(synthetic.records(), 0.05, environment={"machine": "other"})
    made = across_runs.across([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    found = [cell(made, m, "dpo", "b − a").text for m in ("throughput.tokens_per_second", "oracle.regret.train")]
    assert found == ["refused", "+0.050 ± 0"]


def test_quality_of_another_budget_is_refused(tmp_path: Path) -> None:
    other = shifted(synthetic.records(), 0.05, job={**synthetic.JOB, "budget_responses": 1})
    made = across_runs.across([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    assert cell(made, "oracle.regret.train", "dpo", "b − a").caveat == "budget differs"


def prepared_with(**changes: Any) -> list[Record]:
    facts = {"prepared": {**synthetic.PREPARED, **changes}}
    return [r.model_copy(update={"facts": {**r.facts, **facts}}) for r in synthetic.records()]


@pytest.mark.parametrize(
    ("part", "metric", "method", "caveat"),
    [
        ("heldout", "oracle.regret.heldout", "dpo", "held-out data differs"),
        ("heldout", "oracle.regret.train", "dpo", ""),
        ("heldout", "throughput.tokens_per_second", "ppo", ""),
        ("reward", "throughput.tokens_per_second", "ppo", "reward model differs"),
        ("reward", "throughput.tokens_per_second", "dpo", ""),
        ("other", "oracle.regret.train", "dpo", "ground truth and tasks differ"),
        ("other", "memory.peak", "dpo", ""),
    ],
)
def test_columns_that_depend_on_what_differs_are_refused(
    part: str, metric: str, method: str, caveat: str, tmp_path: Path
) -> None:
    other = prepared_with(problem="another", **{part: "ab" * 8})
    made = across_runs.across([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    refused = cell(made, metric, method, "b − a")
    assert (refused.text == "refused", refused.caveat if caveat else "") == (bool(caveat), caveat)


def test_other_held_out_data_is_ranked_apart(tmp_path: Path) -> None:
    other = prepared_with(problem="another", heldout="ab" * 8)
    made = across_runs.leaderboard([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    headings = [group.heading.rpartition(": ")[2] for group in made.groups]
    assert headings == ["held-out data 78787878", "held-out data abababab"]


def test_a_problem_that_was_prepared_again_with_other_bits_is_compared_with_a_note(tmp_path: Path) -> None:
    other = prepared_with(policy="ab" * 8)
    made = across_runs.across([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    assert cell(made, "oracle.regret.train", "dpo", "b − a").text == "0.000 ± 0"
    assert made.notes[-1] == (
        "b: same problem as a, prepared by another machine, other versions or other code: policy not equal to the bit"
    )


def test_problems_without_hashes_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    runs = [("a", "11" * 8), ("b", "22" * 8)]
    folders = [
        synthetic.write_run(tmp_path / name, [record("dpo", 0, facts={"prepared": {"problem": key}})])
        for name, key in runs
    ]
    with pytest.raises(UserError, match=r"a and b cannot be compared: other problem \(11111111 and 22222222\)"):
        across_runs.across(folders)


def test_a_method_of_one_run_alone_is_not_compared(tmp_path: Path) -> None:
    first = synthetic.write_run(tmp_path / "a", [record("dpo", s) for s in range(3)])
    second = synthetic.write_run(tmp_path / "b", [record("ppo", s) for s in range(3)])
    found = cell(across_runs.across([first, second]), "oracle.regret.train", "ppo", "b − a")
    assert found.text == "n/a"


def test_a_run_given_twice_is_the_users_to_fix(runs: list[Path]) -> None:
    with pytest.raises(UserError, match="given twice"):
        across_runs.across([runs[0], runs[0]])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [synthetic.write_run(tmp_path / parent / "run") for parent in ("a", "b")]
    assert [c.head for c in across_runs.across(folders).columns][:2] == ["a/run", "b/run"]


def test_the_leaderboard_puts_the_best_first(runs: list[Path]) -> None:
    made = across_runs.leaderboard(runs)
    assert [line.label for line in made.groups[0].lines][:2] == ["UNA-online · first", "PPO · first"]


def test_ranks_start_again_among_what_is_comparable(tmp_path: Path) -> None:
    other = shifted(synthetic.records(), 0.05, environment={"machine": "other"})
    made = across_runs.leaderboard([synthetic.write_run(tmp_path / "a"), synthetic.write_run(tmp_path / "b", other)])
    assert [group.lines[0].cells[0].text for group in made.groups] == ["1", "1"]


def test_pareto_marks_what_nothing_beats_in_quality_speed_and_memory(tmp_path: Path) -> None:
    made = across_runs.leaderboard([synthetic.write_run(tmp_path / "a")])
    marked = [line.label for line in made.groups[0].lines if line.cells[-1].text == "Pareto"]
    assert marked == ["UNA-online", "DPO"]


def test_a_row_that_was_not_timed_is_not_judged(tmp_path: Path) -> None:
    made = across_runs.leaderboard([synthetic.write_run(tmp_path / "a")])
    assert [line.cells[-1].text for line in made.groups[0].lines if "Base" in line.label] == ["n/a"]


def test_a_leaderboard_without_quality_says_what_to_add(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "a", [record("dpo", 0, measurements=())])
    with pytest.raises(UserError, match="no quality"):
        across_runs.leaderboard([run])
