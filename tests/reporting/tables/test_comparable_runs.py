"""Runs of several suites, policies and data sets: real records of each, and what may be compared with what."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import text_models

from una_bench.cli import app
from una_bench.errors import UserError
from una_bench.gate import compare, update
from una_bench.orchestration import preparation
from una_bench.orchestration.cell_records import failed_record
from una_bench.orchestration.process_pool import Outcome, Pool, Task
from una_bench.orchestration.run_folder import RunFolder
from una_bench.orchestration.runner import Options, Runner
from una_bench.record import line, reader
from una_bench.record.schema import Status
from una_bench.reporting import fairness
from una_bench.reporting.tables import across_runs, results_table
from una_bench.suite import plan, recipe
from una_bench.worker import entry


def suite(name: str, **problem: Any) -> dict[str, Any]:
    return {
        "name": name,
        "problem": {"kind": "preference", "max_prompt_length": 64, "max_response_length": 16, **problem},
        "methods": ["una_score"],
        "seeds": [0],
        "training": {"warmup_steps": 1},
        "budget": {"responses": 16},
        "batch_responses": 8,
        "benchmarks": {"throughput": {}, "preference": {"prompts": 0}},
        "workers": 2,
    }


class Pipe:
    """Stands for the connection to a worker's parent."""

    def send(self, message: Any) -> None:
        """Drop a message."""


def run_here(pool: Pool, tasks: list[Task], done: Callable[[Outcome], None]) -> None:
    """Take the place of `Pool.run`: run the tasks in this process, which has the imports already."""
    for task in tasks:
        result = getattr(entry, task.kind)(task.spec, Pipe())
        done(Outcome(task=task, status=Status.OK, result=result))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One run of each of three suites, in folders of the same name."""
    folder = tmp_path_factory.mktemp("suites")
    rows = text_models.scored_rows()
    text_models.write_model(folder / "tiny")
    text_models.write_model(folder / "larger", initializer_range=0.1)
    (folder / "copy").mkdir()
    for name in ("helpful.jsonl", "copy/again.jsonl"):
        text_models.write_rows(folder / name, rows)
    text_models.write_rows(folder / "terse.jsonl", [row | {"score": 1 - row["score"]} for row in rows])
    sources = {
        "first": ("tiny", "helpful.jsonl"),
        "same": ("tiny", "copy/again.jsonl"),
        "other": ("larger", "terse.jsonl"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNA_BENCH_CACHE", str(folder / "cache"))
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(folder))  # which a training sets where it is not
        patch.setattr(Pool, "run", run_here)
        for name, (policy, data) in sources.items():
            problem = {"policy": str(folder / policy), "dataset": str(folder / data), "reward_model": None}
            made = plan.make(recipe.validate(suite(name, **problem), name))
            finished = Runner(made, RunFolder(folder / name / "run"), Options(quiet=True)).run()
            assert not finished.failed and len(finished.records) == 2
        yield folder


def prepared(run: Path) -> dict[str, Any]:
    facts = [record.facts["prepared"] for record in reader.records(run)]
    assert facts and all(one == facts[0] for one in facts)
    return dict(facts[0])


def without_facts(run: Path, to: Path) -> Path:
    """A copy of a run as versions before this fact left it."""
    shutil.copytree(run, to)
    records = [line.plain(record) for record in reader.records(run)]
    for record in records:
        del record["facts"]["prepared"]
    (to / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return to


def difference(folders: list[Path]) -> str:
    """Text of the first difference of UNA-score between two runs: of the held-out accuracy."""
    group = across_runs.across(folders).groups[0]
    return next(line.cells[-1].text for line in group.lines if line.names["method"] == "una_score")


def put_together(to: Path, *runs: Path) -> Path:
    shutil.copytree(runs[0], to)
    (to / "records.jsonl").write_text("".join((run / "records.jsonl").read_text() for run in runs))
    return to


def test_each_record_holds_the_hashes_of_its_manifest(runs: Path) -> None:
    facts, manifest = prepared(runs / "first" / "run"), reader.run_info(runs / "first" / "run")["prepared"]
    hashes = manifest["hashes"]
    assert (facts["policy"], facts["data"]) == (hashes["policy"], hashes["responses.parquet"])
    assert facts["names"] == {"policy": "tiny", "data": "helpful.jsonl"}


def test_a_failed_cell_holds_them_too(runs: Path) -> None:
    made = plan.make(recipe.load(str(runs / "first" / "run" / "recipe.yaml")))
    runner = Runner(made, RunFolder(runs / "first" / "run"), Options(quiet=True))
    task = Task(kind="train", name="una_score-s0", spec={}, log=runs / "log", timeout_seconds=1.0)
    record = failed_record(runner._common(made.cells[0]), Outcome(task=task, status=Status.KILLED), "train")
    assert record.facts["prepared"] == preparation.facts(made, runner.prepared)


@pytest.mark.parametrize("command", ["compare", "leaderboard"])
def test_another_policy_and_other_data_are_refused(
    command: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [runs / "first" / "run", runs / "other" / "run"]
    monkeypatch.setattr(sys, "argv", ["una-bench", command, *map(str, folders)])
    with pytest.raises(SystemExit) as end:
        app.main()
    first, other = map(prepared, folders)
    message = (
        "una-bench: first/run and other/run cannot be compared: "
        f"other policy (tiny {first['policy'][:8]} and larger {other['policy'][:8]}), "
        f"other training data (helpful.jsonl {first['data'][:8]} and terse.jsonl {other['data'][:8]}). "
        "Compare runs of the same policy and data, or show each run alone with `una-bench leaderboard RUN`.\n"
    )
    assert (end.value.code, capsys.readouterr().err) == (2, message)


def test_the_same_data_in_another_suite_and_folder_is_compared(runs: Path) -> None:
    assert difference([runs / "first" / "run", runs / "same" / "run"]) == "0.000"


def test_the_same_data_in_another_suite_and_folder_is_ranked_together(runs: Path) -> None:
    made = across_runs.leaderboard([runs / "first" / "run", runs / "same" / "run"])
    assert [len(group.lines) for group in made.groups] == [4]


def test_records_without_these_facts_are_compared_with_a_note(runs: Path, tmp_path: Path) -> None:
    old = without_facts(runs / "first" / "run", tmp_path / "old")
    folders = [runs / "first" / "run", old]
    assert difference(folders) == "0.000"
    assert across_runs.across(folders).notes[-1] == (
        "old: the records do not say which policy and data they are of (an older una-bench wrote them); runs of the "
        "same suite are compared as if these were equal"
    )


def test_records_without_these_facts_are_ranked_with_those_of_their_suite(runs: Path, tmp_path: Path) -> None:
    old = without_facts(runs / "first" / "run", tmp_path / "old")
    assert len(across_runs.leaderboard([old, runs / "first" / "run"]).groups) == 1


def test_records_put_together_stand_in_groups_of_their_own(runs: Path, tmp_path: Path) -> None:
    merged = put_together(tmp_path / "merged", runs / "first" / "run", runs / "other" / "run")
    groups = results_table.results(reader.records(merged)).groups
    assert [len(group.lines) for group in groups] == [2, 2]
    assert "training data helpful.jsonl" in groups[0].heading and "training data terse.jsonl" in groups[1].heading


def test_the_ledger_of_records_put_together_says_that_the_data_differ(runs: Path, tmp_path: Path) -> None:
    merged = put_together(tmp_path / "merged", runs / "first" / "run", runs / "other" / "run")
    line = next(line for line in fairness.ledger(reader.records(merged)) if line.topic == "policy and data as prepared")
    assert line.verdict is fairness.Verdict.DIFFERS and "training data terse.jsonl" in line.detail


def test_records_put_together_are_refused_where_rows_are_subtracted(runs: Path, tmp_path: Path) -> None:
    merged = put_together(tmp_path / "merged", runs / "first" / "run", runs / "other" / "run")
    with pytest.raises(UserError, match="merged holds records of several problems: other policy"):
        across_runs.across([merged])


def test_the_gate_refuses_records_put_together(runs: Path, tmp_path: Path) -> None:
    expected = update.make([runs / "first" / "run"])
    merged = put_together(tmp_path / "merged", runs / "first" / "run", runs / "other" / "run")
    with pytest.raises(UserError, match="several problems"):
        compare.check([merged], expected)


def test_the_gate_refuses_a_run_on_other_data(runs: Path) -> None:
    with pytest.raises(UserError, match=r"run of the suite other; the baseline is of first"):
        compare.check([runs / "other" / "run"], update.make([runs / "first" / "run"]))
