"""A paper's numbers beside ours: the verdict of a cell, what averages are taken over, and the table as it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import goldens
import pytest
import synthetic

from una_bench.analysis import frame
from una_bench.analysis.stats import Estimate
from una_bench.errors import UserError
from una_bench.evaluation.leaderboards import GROUPS
from una_bench.record.schema import Better, Measurement, Record
from una_bench.reporting.tables import render
from una_bench.reporting.tables.table import Cell, Table
from una_bench.reproduction import comparison, published_numbers, targets, verdicts
from una_bench.reproduction.published_numbers import AVERAGE
from una_bench.reproduction.verdicts import Ours, Verdict

PAPER = published_numbers.load()
ROWS = {"Qwen2-1.5B": "base", "RLHF": "ppo", "UNA": "una_online"}
AIM = targets.target(
    {
        "tables": ["4", "5"],
        "claims": ["training-time"],
        "rows": {name: {"method": method} for name, method in ROWS.items()},
        "assumed": {"prompt_tokens": 1, "response_tokens": 1},
    },
    "test",
)
GAPS = {"bbh": 0.0, "musr": 0.05, "ifeval": -0.004}
"""How far our made values are from the paper's, where they are."""


def score(table: str, method: str, task: str, seed: int) -> Measurement:
    """One made score: the paper's, moved by `GAPS` and by a little a seed; GPQA is not run."""
    row = next(name for name, own in ROWS.items() if own == method)
    board = PAPER.table(table).leaderboard.replace("-", "_")
    metric = f"paper.{board}.{task}"
    if task == "gpqa":
        return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(), how="not run: not here")
    shift = 0.0 if method == "base" else 0.002 * (seed - 1)
    value = PAPER.table(table).row(row)[task] / 100 + GAPS.get(task, 0.001) + shift
    error = None if task == "ifeval" else 0.004
    return Measurement(metric=metric, unit="1", better=Better.HIGHER, samples=(value,), stderr=error)


def scores(method: str, seed: int) -> list[Measurement]:
    found = []
    for table in AIM.tables:
        board = PAPER.table(table).leaderboard
        tasks = [score(table, method, entry.name, seed) for entry in GROUPS[board]]
        run = [m.value for m in tasks if m.samples]
        without = "" if len(run) == len(tasks) else "_without_gpqa"
        name = f"paper.{board.replace('-', '_')}.average{without}"
        mean = math.fsum(run) / len(run)
        found += [*tasks, Measurement(metric=name, unit="1", better=Better.HIGHER, samples=(mean,))]
    return found


def record(method: str, seed: int) -> Record:
    seconds = {"ppo": 240.0, "una_online": 100.0 + seed}.get(method)
    metric = "throughput.training_seconds"
    time = [Measurement(metric=metric, unit="s", better=Better.LOWER, samples=(seconds,))] if seconds else []
    return synthetic.record(method, seed, measurements=(*scores(method, seed), *time))


def records(seeds: int = 3, methods: tuple[str, ...] = ("ppo", "una_online")) -> list[Record]:
    return [record("base", 0), *(record(m, s) for m in methods for s in range(seeds))]


def made(found: list[Record], **more: Any) -> Table:
    return comparison.table(found, AIM, PAPER, name="una-table4-paper", **more)


def cells(table: Table, group: str, label: str) -> tuple[Cell, ...]:
    (line,) = (x for g in table.groups if g.heading.startswith(group) for x in g.lines if x.label.startswith(label))
    return line.cells


def verdict(table: Table, group: str, label: str) -> str:
    return cells(table, group, label)[-1].text


UNA = "Table 4 (Qwen2-1.5B), UNA"
BASE = "Table 4 (Qwen2-1.5B), Qwen2-1.5B"


def test_a_value_whose_interval_holds_the_paper_s_agrees() -> None:
    assert verdict(made(records()), UNA, "bbh") == "agrees"


def test_a_value_whose_interval_over_seeds_does_not_hold_it_differs() -> None:
    assert verdict(made(records()), UNA, "musr") == "differs"


def test_with_one_seed_such_a_value_is_not_resolved() -> None:
    assert verdict(made(records(seeds=1)), UNA, "musr") == "not resolved"


def test_with_one_seed_a_value_within_the_error_of_its_documents_agrees_and_says_so() -> None:
    cell = cells(made(records(seeds=1)), UNA, "bbh")[-1]
    assert (cell.text, cell.caveat) == ("agrees", "one seed")


def test_with_one_seed_and_no_error_of_documents_nothing_is_resolved() -> None:
    cell = cells(made(records(seeds=1)), UNA, "ifeval")[-1]
    assert (cell.text, cell.caveat) == ("not resolved", "no interval")


def test_the_untrained_policy_has_no_seeds_to_wait_for() -> None:
    assert verdict(made(records(seeds=1)), BASE, "musr") == "differs"


@pytest.mark.parametrize("group", [UNA, BASE])
def test_a_task_that_was_not_run_says_so(group: str) -> None:
    paper, ours, difference, said = cells(made(records()), group, "gpqa")
    assert (ours.text, difference.text, said.text) == ("n/a", "n/a", "not run")
    assert float(paper.text) == PAPER.table("4").row(group.rpartition(", ")[2])["gpqa"]


def test_a_method_that_was_not_run_has_only_the_paper_s_numbers() -> None:
    table = made(records(methods=("ppo",)))
    lines = [x for g in table.groups if g.heading.startswith(UNA) for x in g.lines]
    assert {x.cells[-1].text for x in lines} == {"not run"} and len(lines) == 7


def test_an_average_without_a_task_is_held_against_the_paper_s_without_it() -> None:
    row = PAPER.table("4").row("UNA")
    mean = math.fsum(v for task, v in row.items() if task not in {"gpqa", AVERAGE}) / 5
    paper = cells(made(records()), UNA, "average of 5 (without gpqa)")[0]
    assert paper.text == f"{mean:.2f}"


def test_an_average_of_all_tasks_is_held_against_the_printed_one() -> None:
    assert cells(made(records()), "Table 5 (Qwen2-1.5B), UNA", "average")[0].text == "56.13"


def test_differences_are_ours_minus_theirs_in_percent() -> None:
    assert cells(made(records()), UNA, "musr")[2].text == "+5.00"


def test_training_times_are_compared_as_a_ratio_seed_by_seed() -> None:
    paper, ours, _, said = cells(made(records()), "Training time", "RLHF / UNA (PPO / UNA-online)")
    ratios = [240 / 100, 240 / 101, 240 / 102]
    assert paper.text == "2.29"
    assert ours.numbers is not None and ours.numbers["mean"] == pytest.approx(math.fsum(ratios) / 3)
    assert said.text == "differs"


def test_one_seed_s_ratio_of_times_is_not_resolved() -> None:
    assert verdict(made(records(seeds=1)), "Training time", "RLHF / UNA") == "not resolved"


def test_a_small_scale_compares_nothing_and_says_so_in_the_title() -> None:
    table = made(records(), apart="small scale, another model and data")
    assert table.title.startswith("NOT A REPRODUCTION (small scale, another model and data)")
    assert {x.cells[-1].text for g in table.groups for x in g.lines} == {"not comparable", "not run"}


def test_the_counts_of_verdicts_are_of_all_cells() -> None:
    note = made(records()).notes[0]
    assert sum(int(n) for n in note.replace(",", "").split() if n.isdigit()) == 2 * 43


@pytest.mark.parametrize(
    ("low", "high", "covers", "expected"),
    [
        (0.4, 0.6, True, Verdict.AGREES),
        (0.4, 0.6, False, Verdict.AGREES),
        (0.50004, 0.6, True, Verdict.AGREES),  # the paper rounds
        (0.51, 0.6, True, Verdict.DIFFERS),
        (0.51, 0.6, False, Verdict.UNRESOLVED),
        (None, None, False, Verdict.UNRESOLVED),
    ],
)
def test_a_verdict_follows_from_interval_and_seeds(
    low: float | None, high: float | None, covers: bool, expected: Verdict
) -> None:
    found = Ours(estimate=Estimate(mean=0.5, low=low, high=high, n=2), covers_seeds=covers)
    assert verdicts.judge(0.5, found, incomparable=False) is expected


def test_nothing_can_be_compared_where_something_decisive_was_changed() -> None:
    found = Ours(estimate=Estimate(mean=0.5, low=0.4, high=0.6, n=2), covers_seeds=True)
    assert verdicts.judge(0.5, found, incomparable=True) is Verdict.INCOMPARABLE


def test_a_row_with_no_value_is_not_run_whatever_else() -> None:
    assert verdicts.judge(0.5, None, incomparable=True) is Verdict.NOT_RUN


def test_variants_are_told_apart_by_their_settings() -> None:
    found = [
        synthetic.record("una_score", 0, settings={"loss_type": kind}, variant=kind, cell=kind, key=kind, label=kind)
        for kind in ("mse", "bce")
    ]
    rows = frame.rows(found)
    chosen = comparison.chosen(rows, {"method": "una_score", "loss_type": "bce"})
    assert [row.variant for row in chosen if row] == ["bce"]


@pytest.mark.parametrize(("kind", "write"), [("md", render.markdown), ("csv", render.csv)])
def test_the_table_is_kept_as_it_was(kind: str, write: Callable[[Table], str]) -> None:
    goldens.same(f"reproduction.{kind}", write(made(records())))


def test_a_misspelled_key_of_what_is_reproduced_is_named() -> None:
    with pytest.raises(UserError, match=r"mine: 'reproduces\.table': Extra inputs are not permitted"):
        targets.target({**AIM.model_dump(), "table": 1}, "mine")
