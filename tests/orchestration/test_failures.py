"""Failures are rows: a cell that fails in whatever way has its record, and the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_methods
import plugin
import pytest

from una_bench.record import reader
from una_bench.record.schema import Record, Status

KINDS = {
    "memory": (Status.OUT_OF_MEMORY, "MemoryError", "Lower batch_responses"),
    "device_memory": (Status.OUT_OF_MEMORY, "CUDA out of memory", "Lower batch_responses"),
    "nan": (Status.DIVERGED, "loss is nan after 16 responses", "Lower learning_rate"),
    "infinite": (Status.DIVERGED, "loss is inf after 16 responses", "Lower learning_rate"),
    "crash": (Status.FAILED, "RuntimeError: a shape is wrong", "train.log"),
    "disk": (Status.FAILED, "No space left on device", "Free disk space"),
    "read_only": (Status.FAILED, "Read-only file system", "Make the folder writable"),
    "hang": (Status.TIMEOUT, "(hang)", "--retry failed"),
    "kernel": (Status.KILLED, "SIGKILL, which the kernel sends when memory runs out", "ran out of memory"),
    "leave": (Status.FAILED, "ended with status 7 and no result", "train.log"),
    "surrogate": (Status.FAILED, "No such file", "train.log"),
    "hostile": (Status.FAILED, "RuntimeError: \x1b[2J", "train.log"),
    "unjudgeable": (Status.FAILED, "LookupError: no judgment", "evaluate-N.log"),
}
SILENT = {"hang", "kernel", "leave"}
"""A worker that ends without a word cannot say in which phase it was."""
RECIPE = {**plugin.RECIPE, "settings": {"breaks": [{"how": how} for how in ["not", *KINDS]]}}


class Broken:
    """A run in which every cell but two fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code, self.out, self.err = plugin.call(folder, RECIPE)
        self.records = {r.variant.removeprefix("how=") or r.method: r for r in reader.records(folder / "run")}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    return Broken(tmp_path_factory.mktemp("broken"))


def failure(broken: Broken, how: str) -> tuple[Record, Any]:
    record = broken.records[how]
    assert record.failure is not None
    return record, record.failure


def test_every_way_to_fail_is_tried() -> None:
    assert KINDS.keys() == fake_methods.FAILURES.keys()


def test_a_run_with_failures_ends_with_status_3_and_no_traceback(broken: Broken) -> None:
    assert broken.code == 3, broken.err
    assert "Traceback" not in broken.out + broken.err


def test_nothing_is_said_of_semaphores_that_a_killed_worker_left(broken: Broken) -> None:
    assert "leaked" not in broken.err, broken.err


@pytest.mark.parametrize("how", ["base", "not"])
def test_the_other_cells_go_on(how: str, broken: Broken) -> None:
    assert broken.records[how].status is Status.OK


@pytest.mark.parametrize("how", KINDS)
def test_a_failure_has_its_status_and_reason(how: str, broken: Broken) -> None:
    record, why = failure(broken, how)
    status, words, _ = KINDS[how]
    assert (record.status, words in why.reason) == (status, True), why


@pytest.mark.parametrize("how", KINDS)
def test_a_failure_says_what_to_try(how: str, broken: Broken) -> None:
    assert KINDS[how][2] in failure(broken, how)[1].advice


@pytest.mark.parametrize("how", sorted(KINDS.keys() - SILENT - {"unjudgeable"}))
def test_a_failure_has_the_phase_and_the_step_at_which_it_came(how: str, broken: Broken) -> None:
    why = failure(broken, how)[1]
    assert (why.phase, why.step) == ("forward", 2)


@pytest.mark.parametrize("how", sorted(SILENT))
def test_a_worker_that_ended_without_a_word_is_placed_by_its_last_report(how: str, broken: Broken) -> None:
    why = failure(broken, how)[1]
    assert why.phase == "train"
    assert why.step in {1, 2}


def test_a_checkpoint_that_cannot_be_judged_failed_in_evaluation(broken: Broken) -> None:
    assert failure(broken, "unjudgeable")[1].phase == "evaluate"


@pytest.mark.parametrize(("how", "line"), [("crash", "RuntimeError: a shape is wrong"), ("kernel", "the last line")])
def test_the_last_lines_of_the_log_are_kept(how: str, line: str, broken: Broken) -> None:
    assert failure(broken, how)[1].log_tail[-1] == line


@pytest.mark.parametrize("how", KINDS)
def test_the_report_shows_each_failure_with_what_to_try(how: str, broken: Broken) -> None:
    import html

    page = html.unescape((broken.folder / "run" / "report.html").read_text())
    assert f"Breaks ({how})" in page
    assert KINDS[how][2] in page


def test_a_hostile_message_is_shown_harmless(broken: Broken) -> None:
    page = (broken.folder / "run" / "report.html").read_text()
    shown = {
        "terminal": broken.out + broken.err,
        **{name: (broken.folder / "run" / name).read_text() for name in ("table.md", "table.csv")},
    }
    assert not [name for name, text in {**shown, "report": page}.items() if "\x1b" in text or "\u202e" in text]
    assert "<script>alert" not in page
    assert "<script>alert" in broken.out, "what is harmless stays readable"


def test_the_command_names_each_failure(broken: Broken) -> None:
    assert all(f"breaks[how={how}]-s0" in broken.out for how in KINDS)


def test_no_settings_were_changed_to_get_a_result(broken: Broken) -> None:
    assert {tuple(sorted(r.settings.items())) for r in broken.records.values() if r.method == "breaks"} == {
        tuple(sorted({**broken.records["not"].settings, "how": how}.items())) for how in ["not", *KINDS]
    }


SOME = {**plugin.RECIPE, "workers": 1, "settings": {"breaks": [{"how": "crash"}, {"how": "nan"}, {"how": "not"}]}}


def test_retry_failed_runs_just_the_failed_cells_again(tmp_path: Path) -> None:
    assert plugin.call(tmp_path, SOME)[0] == 3
    (cell,) = {p.parent for p in (tmp_path / "run" / "cells").glob("*/train.log") if "a shape" in p.read_text()}
    (cell / "mended").touch()
    trained = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").glob("cells/*/trained.json")}
    again = plugin.call(tmp_path, SOME)
    assert (again[0], "0 cells trained now" in again[1]) == (3, True)
    code, out, err = plugin.call(tmp_path, SOME, "--retry", "failed")
    assert (code, "1 cells trained now" in out) == (3, True), err
    found = {r.variant: r.status for r in reader.records(tmp_path / "run")}
    assert found["how=crash"] is Status.OK
    assert found["how=nan"] is Status.DIVERGED
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in trained.items())


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    code, out, err = plugin.call(tmp_path, SOME, "--fail-fast")
    assert code == 3, out + err
    found = {r.variant: r.status for r in reader.records(tmp_path / "run") if r.method == "breaks"}
    assert found == {"how=crash": Status.FAILED}
