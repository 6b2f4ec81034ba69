"""The two leaderboards: tasks, scores, and tasks that are not run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import synthetic

from una_bench.analysis import frame
from una_bench.evaluation import leaderboard_scores, scores
from una_bench.evaluation.leaderboards import BBH_CHOICES, FOLDERS, GROUPS, IFEVAL
from una_bench.evaluation.tasks import spread
from una_bench.record.schema import Better, Measurement, Record
from una_bench.reporting.tables import column_heads, results_table

TASKS = Path(lm_eval.__file__).parent / "tasks"
ENTRIES = {entry.name: entry for entries in GROUPS.values() for entry in entries}


def results(**leaves: dict[str, float]) -> dict[str, Any]:
    """Return lm-eval's results of tasks with ten of fifty documents each."""
    return {
        "results": dict(leaves),
        "configs": {name: {} for name in leaves},
        "n-samples": {name: {"original": 50, "effective": 10} for name in leaves},
        "n-shot": {},
        "higher_is_better": {},
    }


def test_leaderboard_v1_has_the_papers_six_tasks_and_shots() -> None:
    assert {e.name: e.shots for e in GROUPS["leaderboard-v1"]} == {
        "gsm8k": 5,
        "truthful_qa": 0,
        "winogrande": 5,
        "arc": 25,
        "hellaswag": 10,
        "mmlu": 5,
    }


@pytest.mark.parametrize(
    ("name", "file", "shots"),
    [
        ("bbh", "bbh_mc/_fewshot_template_yaml", 3),
        ("mmlu_pro", "mmlu_pro/mmlu_pro.yaml", 5),
        ("math_hard", "math/_template_yaml", 4),
        ("musr", "musr/_template_yaml", 0),
        ("gpqa", "gpqa/_template_yaml", 0),
        ("ifeval", "ifeval/ifeval.yaml", 0),
    ],
)
def test_leaderboard_v2_leaves_the_shots_that_lm_eval_has(name: str, file: str, shots: int) -> None:
    found = re.search(r"num_fewshot: (\d+)", (TASKS / "leaderboard" / file).read_text())
    assert (int(found[1]) if found else 0) == shots
    assert ENTRIES[name].shots is None


@pytest.fixture(scope="module")
def data_sets() -> set[str]:
    """Return all datasets that lm-eval's leaderboard tasks read, and those of the six older tasks."""
    folders = ["leaderboard", "gsm8k", "truthfulqa", "winogrande", "arc", "hellaswag", "mmlu/default"]
    files = [file for folder in folders for file in (TASKS / folder).rglob("*yaml")]
    return {path for file in files for path in re.findall(r"^dataset_path: (\S+)", file.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_names_the_data_that_lm_eval_reads(name: str, data_sets: set[str]) -> None:
    assert ENTRIES[name].data in data_sets


def test_every_bbh_task_has_its_number_of_choices() -> None:
    text = (TASKS / "leaderboard/bbh_mc/_leaderboard_bbh.yaml").read_text()
    assert set(re.findall(r"- leaderboard_bbh_(\w+)", text)) == set(BBH_CHOICES)


def test_the_paper_counts_both_matches_of_gsm8k() -> None:
    found = results(gsm8k={"exact_match,strict-match": 0.2, "exact_match,flexible-extract": 0.4})
    assert leaderboard_scores.paper_score(ENTRIES["gsm8k"], found)[0] == pytest.approx(0.3)


def test_the_paper_counts_all_four_accuracies_of_ifeval() -> None:
    found = results(leaderboard_ifeval=dict(zip(IFEVAL, (0.1, 0.2, 0.3, 0.6), strict=True)))
    assert leaderboard_scores.paper_score(ENTRIES["ifeval"], found)[0] == pytest.approx(0.3)


def test_the_leaderboard_counts_the_strict_accuracies_of_ifeval() -> None:
    found = results(leaderboard_ifeval=dict(zip(IFEVAL, (0.1, 0.2, 0.3, 0.6), strict=True)))
    assert leaderboard_scores.normalized_score(ENTRIES["ifeval"], found)[0] == pytest.approx(0.2)  # type: ignore[index]


def musr(first: float, second: float) -> dict[str, Any]:
    keys = {"acc_norm_stderr,none": 0.1}
    return results(
        leaderboard_musr_murder_mysteries={"acc_norm,none": first} | keys,
        leaderboard_musr_object_placements={"acc_norm,none": second} | keys,
    )


def test_in_the_paper_each_sub_task_counts_the_same() -> None:
    value, error = leaderboard_scores.paper_score(ENTRIES["musr"], musr(0.75, 0.25))
    assert (value, error) == (0.5, pytest.approx((0.1**2 + 0.1**2) ** 0.5 / 2))


def test_each_sub_task_is_normalized_by_its_own_choices() -> None:
    value, error = leaderboard_scores.normalized_score(ENTRIES["musr"], musr(0.75, 0.6))  # type: ignore[misc]
    assert value == pytest.approx((0.5 + 0.5) / 2)
    assert error == pytest.approx((0.2**2 + 0.125**2) ** 0.5 / 2)


def test_below_chance_is_zero_of_that_sub_task() -> None:
    value, _ = leaderboard_scores.normalized_score(ENTRIES["musr"], musr(0.1, 0.6))  # type: ignore[misc]
    assert value == pytest.approx(0.25)


def test_leaderboard_v1_is_not_normalized() -> None:
    assert leaderboard_scores.normalized_score(ENTRIES["winogrande"], results(winogrande={"acc,none": 0.6})) is None


def v1() -> dict[str, dict[str, Any]]:
    scores = {e.task: dict.fromkeys(e.metrics, 0.5) for e in GROUPS["leaderboard-v1"]}
    return {task: results(**{task: figures}) for task, figures in scores.items()}


def test_the_average_is_over_all_tasks_alike() -> None:
    found = {m.metric: m for m in leaderboard_scores.measurements("leaderboard-v1", v1(), {})}
    assert found["paper.leaderboard_v1.average"].value == 0.5


def test_a_task_that_was_not_run_has_a_reason_and_no_number() -> None:
    done = v1()
    del done["mmlu"]
    found = {m.metric: m for m in leaderboard_scores.measurements("leaderboard-v1", done, {"mmlu": "no data"})}
    assert found["paper.leaderboard_v1.mmlu"].samples == ()
    assert found["paper.leaderboard_v1.mmlu"].how == "not run: no data"


def test_an_average_says_what_it_lacks() -> None:
    done = v1()
    del done["mmlu"]
    found = {m.metric for m in leaderboard_scores.measurements("leaderboard-v1", done, {"mmlu": "no data"})}
    assert "paper.leaderboard_v1.average_without_mmlu" in found and "paper.leaderboard_v1.average" not in found


def test_lm_evals_own_row_of_a_group_keeps_its_own_name() -> None:
    found = results(mmlu_anatomy={"acc,none": 0.2})
    found["groups"] = {"mmlu": {"acc,none": 0.3, "acc_stderr,none": 0.1, "extra,none": 1.0}}
    seen = "10 of 2850 documents in 1 of 57 sub-tasks"
    [measurement] = scores.measurements(found, ENTRIES["mmlu"], seen)
    assert (measurement.metric, measurement.value, measurement.stderr) == ("task.mmlu.acc", 0.3, 0.1)
    assert seen in measurement.how


def test_a_limit_for_a_group_is_spread_over_tasks_that_lie_evenly_apart() -> None:
    assert spread(dict.fromkeys("abcdef", 10), 3) == {"a": [0], "c": [0], "e": [0]}


def test_a_limit_above_the_number_of_tasks_gives_each_as_many() -> None:
    assert spread(dict.fromkeys("abc", 10), 7) == {"a": [0, 1, 2], "b": [0, 1], "c": [0, 1]}


def test_a_limit_stops_at_the_documents_there_are() -> None:
    assert spread({"a": 1, "b": 3}, 100) == {"a": [0], "b": [0, 1, 2]}


# How the tables show them.


@pytest.fixture(scope="module")
def shown() -> list[Record]:
    """Return two cells with both leaderboards: gpqa was not run, all other scores are 0.5."""
    found = {e.task: results(**{e.task: dict.fromkeys(e.metrics, 0.5)}) for e in ENTRIES.values() if e.name != "gpqa"}
    reasons = {"leaderboard_gpqa": "no\ndata"}
    measured: list[Measurement] = []
    for task, figures in found.items():
        entry = next(e for e in ENTRIES.values() if e.task == task)
        measured += scores.measurements(figures, entry)
    measured.append(leaderboard_scores.absent("task.leaderboard_gpqa.acc_norm", reasons["leaderboard_gpqa"]))
    for group in GROUPS:
        measured += leaderboard_scores.measurements(group, found, reasons)
    return [synthetic.record(method, 0, measurements=tuple(measured)) for method in ("base", "dpo")]


def test_each_leaderboard_and_way_of_counting_has_its_own_table(shown: list[Record]) -> None:
    assert [(table.title, len(table.columns)) for table in results_table.leaderboards(shown)] == [
        ("Leaderboard v1, counted as in the paper", 7),
        ("Leaderboard v2, counted as in the paper", 7),
        ("Leaderboard v2, normalized: 0 is chance, 1 is perfect", 7),
    ]


def test_ways_of_counting_stay_out_of_the_main_table(shown: list[Record]) -> None:
    keys = [column.key for column in results_table.results(shown).columns]
    assert not [key for key in keys if key.startswith(("paper.", "normalized."))]


def test_a_task_that_was_not_run_says_so_with_its_reason(shown: list[Record]) -> None:
    table = results_table.leaderboards(shown)[1]
    place = [column.key for column in table.columns].index("paper.leaderboard_v2.gpqa")
    assert table.groups[0].lines[0].cells[place].text == "not run"
    assert "gpqa (paper, v2): not run: no data" in table.notes


def test_the_mean_of_tasks_is_over_those_that_were_run(shown: list[Record]) -> None:
    table = results_table.tasks(shown)
    assert table is not None
    assert [cell.text for line in table.groups[0].lines for cell in line.cells[-2:]] == ["0.500"] * 4


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_names_the_folder_that_holds_its_task(name: str) -> None:
    entry = ENTRIES[name]
    texts = [file.read_text() for file in (TASKS / FOLDERS.get(entry.task, entry.task)).rglob("*yaml")]
    assert any(re.search(rf"^\s*-?\s*(task|group): {entry.task}$", text, re.MULTILINE) for text in texts)


def test_a_task_that_one_cell_could_not_run_keeps_the_metric_that_others_have() -> None:
    missing = leaderboard_scores.absent("task.quiz.score", "no data")
    scored = synthetic.measurement("task.quiz.acc", "1", Better.HIGHER, 0.5)
    shown = [synthetic.record("dpo", 0, measurements=(missing,)), synthetic.record("kto", 0, measurements=(scored,))]
    assert [m.name for m in column_heads.tasks(frame.metrics(shown))] == ["task.quiz.acc"]


def test_a_metric_that_a_later_cell_has_counts_as_measured() -> None:
    missing = leaderboard_scores.absent("task.quiz.acc", "no data")
    scored = synthetic.measurement("task.quiz.acc", "1", Better.HIGHER, 0.5)
    shown = [synthetic.record("dpo", 0, measurements=(missing,)), synthetic.record("kto", 0, measurements=(scored,))]
    assert frame.metrics(shown)["task.quiz.acc"].measured
