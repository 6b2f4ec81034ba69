"""Reading a run's folder: torn lines, repeated cells, other formats."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import synthetic
from synthetic import record

from una_bench.analysis import documents
from una_bench.errors import UserError
from una_bench.record import reader


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r")
    assert sorted(r.cell for r in reader.records(run)) == sorted(r.cell for r in synthetic.records())


def test_the_order_does_not_depend_on_which_cell_ended_first(tmp_path: Path) -> None:
    forward = synthetic.write_run(tmp_path / "a", synthetic.records())
    backward = synthetic.write_run(tmp_path / "b", synthetic.records()[::-1])
    assert reader.records(forward) == reader.records(backward)


def test_the_untrained_policy_comes_first(tmp_path: Path) -> None:
    assert reader.records(synthetic.write_run(tmp_path / "r"))[0].method == "base"


def test_of_a_cell_recorded_twice_the_last_counts(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [synthetic.failed("dpo", 0), record("dpo", 0)])
    assert [str(r.status) for r in reader.records(run)] == ["ok"]


@pytest.mark.parametrize("place", ["middle", "end"])
def test_a_torn_line_is_passed_over_with_a_note(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    whole = (run / "records.jsonl").read_text()
    torn = whole[: len(whole) // 2]
    text = torn + "\n" + whole if place == "middle" else whole + torn
    (run / "records.jsonl").write_text(text)
    with caplog.at_level(logging.WARNING, "una_bench"):
        found = reader.records(run)
    assert (len(found), "incomplete" in caplog.text) == (1, True)


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    raw = json.loads((run / "records.jsonl").read_text())
    (run / "records.jsonl").write_text(json.dumps({**raw, "schema": 99}))
    with pytest.raises(UserError, match=r"format 99.*Upgrade una-bench"):
        reader.records(run)


def test_an_older_format_is_read(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    raw = json.loads((run / "records.jsonl").read_text())
    del raw["schema"]
    (run / "records.jsonl").write_text(json.dumps(raw))
    assert reader.records(run) == [record("dpo", 0)]


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r", [record("dpo", 0)])
    (run / "records.jsonl").write_text('{"schema": 1, "run": "x"}\n')
    with pytest.raises(UserError, match="line 1 is not a valid record: suite"):
        reader.records(run)


def test_a_folder_without_records_has_none(tmp_path: Path) -> None:
    assert reader.records(tmp_path) == []


def test_where_records_are_needed_an_empty_folder_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no records"):
        reader.some(tmp_path)


def test_what_the_run_says_of_itself_is_read(tmp_path: Path) -> None:
    assert reader.run_info(synthetic.write_run(tmp_path / "r"))["command"] == synthetic.INFO["command"]


def test_a_run_without_a_description_is_read_all_the_same(tmp_path: Path) -> None:
    assert reader.run_info(tmp_path) == {}


def test_documents_are_found_by_the_cells_folder(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r")
    synthetic.write_documents(run, record("dpo", 1), "copy", [1.0, 0.0])
    assert [d["acc"] for d in documents.kept(run, record("dpo", 1))["copy"]] == [1.0, 0.0]


def test_documents_count_only_where_the_metric_is_their_mean(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "r")
    synthetic.write_documents(run, record("dpo", 1), "copy", [1.0, 1.0])  # the record says about 0.5
    assert documents.scores(run, [record("dpo", 1)]) == {}
