"""Tables from fixed records: every format, every caveat."""

from __future__ import annotations

import csv
import io
import re
import time

import goldens
import pytest
import synthetic
from rich.console import Console
from synthetic import measurement, record

from una_bench import formatting
from una_bench.analysis import frame
from una_bench.errors import UserError
from una_bench.record.schema import Better, Record, Status
from una_bench.reporting.tables import render, results_table, table
from una_bench.reporting.tables.terminal import Terminal


def terminal(made: table.Table, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    console.print(Terminal(made))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"  # type: ignore[attr-defined]


def shown(records: list[Record], label: str, head: str, baseline: str | None = None) -> str:
    """Text of one cell of the main table, marks and caveat included."""
    made = results_table.results(records, baseline=baseline)
    column = next(i for i, c in enumerate(made.columns) if head in c.head)
    line = next(one for group in made.groups for one in group.lines if one.label.startswith(label))
    cell = line.cells[column]
    return cell.text + (" *" if cell.best else " ~" if cell.tied else "") + (f" ({cell.caveat})" if cell.caveat else "")


def with_metric(method: str, seed: int, value: float, better: Better = Better.HIGHER) -> Record:
    return record(method, seed, measurements=(measurement("custom.score", "1", better, value),))


RESULTS = results_table.results(synthetic.records(), baseline="dpo")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.txt", terminal(RESULTS)),
        ("results-narrow.txt", terminal(RESULTS, 72)),
        ("results.md", render.markdown(RESULTS)),
        ("results.csv", goldens.rounded(render.csv(RESULTS))),
        ("results.tex", render.latex(RESULTS)),
        ("results.html", render.html(RESULTS)),
    ],
)
def test_every_format_is_as_it_was(name: str, text: str) -> None:
    goldens.same(name, text)


@pytest.mark.parametrize(
    "text", [terminal(RESULTS), render.markdown(RESULTS), render.csv(RESULTS), render.latex(RESULTS)]
)
def test_no_control_character_of_a_label_comes_through(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)


@pytest.mark.parametrize("text", [render.html(RESULTS), render.markdown(RESULTS)])
def test_no_tag_of_a_label_comes_through(text: str) -> None:
    assert "<script" not in text


def test_rich_markup_in_a_label_is_text() -> None:
    assert "[bold]" in terminal(RESULTS)


def test_latex_has_no_bare_special_character_from_a_label() -> None:
    assert r"\&" in render.latex(RESULTS) and "$x_1$" not in render.latex(RESULTS)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160, 240])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, terminal(RESULTS, width).splitlines())) <= width


def test_a_mean_stands_with_half_its_interval() -> None:
    # DPO, regret: 0.34 + 0.006 x (-1.3, 0, 1.3) over three seeds, t(2) = 4.303
    assert shown(synthetic.records(), "DPO", "regret (train)") == "0.340 ± 0.019"


def test_one_seed_says_so_beside_the_number() -> None:
    assert shown(synthetic.records(), "KTO", "regret (train)") == "0.530 (1 seed)"


def test_a_run_of_one_seed_has_no_interval_and_no_best() -> None:
    made = results_table.results([r for r in synthetic.records() if r.seed == 0], baseline=None)
    cells = [c for group in made.groups for one in group.lines for c in one.cells if one.names["method"] != "base"]
    assert not any("±" in c.text or c.best or c.tied for c in cells)


def test_a_failed_seed_is_told_beside_the_label() -> None:
    made = results_table.results(synthetic.records())
    assert [one.caveat for one in made.groups[0].lines if one.label == "PPO"] == ["1 of 3 seeds: out of memory"]


def test_a_row_without_any_result_shows_its_status() -> None:
    found = [record("dpo", 0), synthetic.failed("ppo", 0, Status.TIMEOUT)]
    assert shown(found, "PPO", "regret (train)") == "timeout"


def test_a_missing_benchmark_is_not_an_empty_cell() -> None:
    assert shown(synthetic.records(), "KTO", "copy") == "n/a"


def test_the_untrained_policy_has_no_seed_to_lack() -> None:
    assert shown(synthetic.records(), "Base", "regret (train)") == "1.000"


def test_the_best_is_marked_where_it_is_resolved() -> None:
    assert shown(synthetic.records(), "DPO", "throughput") == "41000 ± 969 *"


def test_what_cannot_be_told_from_the_best_is_marked_and_nothing_is_best() -> None:
    made = synthetic.records()
    marks = [shown(made, label, "regret (train)")[-1] for label in ("PPO", "UNA-online")]
    assert marks == ["~", "~"]


def test_a_metric_without_a_better_side_marks_nothing() -> None:
    assert shown(synthetic.records(), "UNA-online", "KL") == "1.42 ± 0.11"


def test_a_single_seed_ahead_leaves_the_column_unmarked() -> None:
    found = [with_metric("dpo", s, 1.0 + 0.01 * s) for s in range(3)]
    found += [with_metric("ppo", s, 0.5 + 0.01 * s) for s in range(3)] + [with_metric("kto", 0, 9.0)]
    assert "*" not in terminal(results_table.results(found))


def test_a_difference_to_the_baseline_says_better_worse_or_not_resolved() -> None:
    found = [with_metric("dpo", s, v) for s, v in enumerate((1.0, 1.1, 1.2))]
    found += [with_metric("ppo", s, v) for s, v in enumerate((2.0, 2.2, 2.1))]
    found += [with_metric("kto", s, v) for s, v in enumerate((0.5, 1.6, 1.1))]
    found += [with_metric("una_online", s, v) for s, v in enumerate((0.1, 0.2, 0.3))]
    made = results_table.results(found, baseline="DPO").then[0]
    verdicts = {one.label: one.cells[0].caveat for one in made.groups[0].lines if one.cells[0].caveat}
    assert verdicts == {"PPO": "better", "KTO": "not resolved", "UNA-online": "worse"}


def test_the_last_row_tells_the_smallest_difference_that_could_show() -> None:
    made = results_table.results(synthetic.records(), baseline="dpo").then[0]
    assert made.groups[0].lines[-1].cells[0].text == "0.036"


def test_rows_of_another_machine_stand_under_a_heading_that_says_so() -> None:
    other = [record("ppo", s, environment={"machine": "big one", "cores": 2}) for s in range(3)]
    made = results_table.results([*(record("dpo", s) for s in range(3)), *other])
    assert [g.heading for g in made.groups] == [
        "Not comparable with the other groups: machine test machine",
        "Not comparable with the other groups: machine big one",
    ]


def test_rows_of_another_budget_stand_apart() -> None:
    other = record("ppo", 0, job={**synthetic.JOB, "budget_responses": 8192})
    assert len(results_table.results([record("dpo", 0), other]).groups) == 2


def test_a_baseline_on_another_machine_is_refused_by_name() -> None:
    other = [record("ppo", s, environment={"machine": "big one", "cores": 2}) for s in range(3)]
    made = results_table.results([*(record("dpo", s) for s in range(3)), *other], baseline="dpo").then[0]
    assert "refused, not comparable with the baseline: PPO" in made.notes


def test_a_cell_that_failed_before_it_saw_its_machine_stays_in_its_row() -> None:
    assert len(results_table.results(synthetic.records()).groups) == 1


def test_variants_of_one_label_are_told_apart() -> None:
    found = [record("dpo", 0, variant=v, cell=f"dpo[{v}]-s0") for v in ("beta=0.1", "beta=0.5")]
    assert [row.label for row in frame.rows(found)] == ["DPO (beta=0.1)", "DPO (beta=0.5)"]


def test_a_baseline_with_several_variants_must_be_named() -> None:
    found = [record("dpo", 0, variant=v, cell=f"dpo[{v}]-s0") for v in ("beta=0.1", "beta=0.5")]
    with pytest.raises(UserError, match=r"dpo\[beta=0.1\]"):
        results_table.results(found, baseline="dpo")


def test_an_unknown_baseline_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'ppo'"):
        results_table.results(synthetic.records(), baseline="pppo")


def test_a_metric_nobody_knows_has_a_column() -> None:
    assert "custom score" in results_table.results([with_metric("dpo", 0, 1.0)]).columns[0].head


def test_many_tasks_become_their_interquartile_mean() -> None:
    tasks = tuple(measurement(f"task.t{i}.acc", "1", Better.HIGHER, i / 10) for i in range(8))
    made = results_table.results([record("dpo", 0, measurements=tasks)])
    assert made.groups[0].lines[0].cells[0].text == "0.350"  # of 0.2, 0.3, 0.4, 0.5


def test_the_table_of_tasks_has_every_task_and_their_mean() -> None:
    made = results_table.tasks(synthetic.records())
    assert made is not None and [c.key for c in made.columns][-3:] == ["task.sum.acc", "tasks.mean", "tasks.iqm"]


def test_an_interval_of_a_task_covers_documents() -> None:
    # standard error over documents 0.03, and nothing over seeds: 1.96 x 0.03
    assert shown(synthetic.records(), "Base", "copy") == "0.250 ± 0.059 ~"


def test_csv_is_in_base_units() -> None:
    lines = list(csv.DictReader(io.StringIO(render.csv(RESULTS))))
    assert float(next(one for one in lines if one["method"] == "dpo")["memory.peak [B]"]) == 310 * 2**20


def test_csv_has_differences_beside_their_row() -> None:
    lines = list(csv.DictReader(io.StringIO(render.csv(RESULTS))))
    ppo = next(one for one in lines if one["method"] == "ppo")
    assert float(ppo["oracle.regret.train difference [1]"]) == pytest.approx(-0.24)


def test_a_label_that_is_a_formula_is_not_one_in_csv() -> None:
    made = render.csv(results_table.results([record("dpo", 0, label="=1+1")]))
    assert "'=1+1" in made


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (310 * 2**20, "B", "310 MiB"),
        (3 * 2**30, "B", "3.00 GiB"),
        (0.0, "B", "0 B"),
        (0.0213, "s", "21.3 ms"),
        (12.5, "s", "12.5 s"),
        (7200.0, "s", "120 min"),
        (2.5e12, "FLOP", "2.50 TFLOP"),
        (41000.0, "token/s", "41000 token/s"),
        (2.5e6, "token/s", "2500 ×10³ token/s"),
        (-0.5, "1", "−0.500"),
    ],
)
def test_a_quantity_has_a_unit_that_a_person_reads(value: float, unit: str, text: str) -> None:
    assert formatting.quantity(value, unit) == text


def test_an_interval_is_never_rounded_down_to_nothing() -> None:
    assert formatting.half(0.0004, 2) == "<0.01"


def test_a_table_of_a_thousand_records_takes_less_than_five_seconds() -> None:
    found = synthetic.thousand()
    start = time.process_time()
    made = results_table.results(found, baseline="dpo 0")
    assert len(render.markdown(made) + render.csv(made) + render.html(made)) > 100_000
    assert time.process_time() - start < 5


def test_the_speed_of_a_training_that_was_gone_on_with_says_so() -> None:
    records = [record("base", 0), record("dpo", 0), record("dpo", 1, facts={"resumed": 2}), record("kto", 0)]
    notes = [note for note in results_table.results(records).notes if note.startswith(results_table.RESUMED)]
    assert notes == [f"{results_table.RESUMED}: DPO (1 of its cells)"]
