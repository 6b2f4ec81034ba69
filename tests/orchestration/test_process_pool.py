"""Every way in which a worker can end becomes a status, and the others go on."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from una_bench.machine import hardware
from una_bench.orchestration import process_environment, process_pool
from una_bench.orchestration.executor import log_tail
from una_bench.orchestration.process_pool import Outcome, Pool, Task
from una_bench.record.schema import Status

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))


def run(tmp_path: Path, *kinds: str, workers: int = 1, **spec: Any) -> list[Outcome]:
    limit = spec.pop("timeout_seconds", 30.0)
    tasks = [
        Task(kind=f"fake_tasks:{k}", name=f"{k}{i}", spec=spec, log=tmp_path / f"{i}.log", timeout_seconds=limit)
        for i, k in enumerate(kinds)
    ]
    outcomes: list[Outcome] = []
    Pool(workers=workers, threads=1, listen=lambda *_: None, preload=()).run(tasks, outcomes.append)
    return outcomes


@pytest.mark.parametrize(
    ("cards", "seen"), [(("3", "MIG-1a"), {"3", "MIG-1a"}), (("GPU-0b",), {"GPU-0b"}), ((), {None})]
)
def test_each_worker_has_a_card_of_its_own(cards: tuple[str, ...], seen: set[str | None], tmp_path: Path) -> None:
    pool = Pool(workers=2, threads=1, listen=lambda *_: None, preload=(), cards=cards)
    assert not cards or pool.workers == len(cards)
    outcomes: list[Outcome] = []
    tasks = [
        Task(kind="fake_tasks:tell_card", name=str(i), spec={}, log=tmp_path / f"{i}.log", timeout_seconds=30.0)
        for i in range(2)
    ]
    pool.run(tasks, outcomes.append)
    assert {outcome.result["card"] for outcome in outcomes} == seen


def test_a_worker_has_a_card_for_each_process_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(16)))
    pool = Pool(workers=4, threads=1, listen=lambda *_: None, preload=(), cards=("3", "5", "7", "8", "9"), processes=2)
    assert (pool.cards, pool.workers) == (("3,5", "7,8"), 2)


def test_what_is_no_training_sees_one_card(tmp_path: Path) -> None:
    pool = Pool(workers=1, threads=1, listen=lambda *_: None, preload=(), cards=("3", "5"), processes=2)
    outcomes: list[Outcome] = []
    log = tmp_path / "log"
    pool.run([Task(kind="fake_tasks:tell_card", name="a", spec={}, log=log, timeout_seconds=30.0)], outcomes.append)
    assert outcomes[0].result["card"] == "3"


def test_a_result_comes_back_from_another_process(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "succeed", answer=42)
    assert (outcome.status, outcome.result["answer"]) == (Status.OK, 42)
    assert outcome.result["pid"] != os.getpid()


def test_each_task_has_a_process_of_its_own(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "succeed", "succeed", "succeed", answer=0)
    assert len({o.result["pid"] for o in outcomes}) == 3


def test_the_memory_of_one_task_does_not_show_in_the_next(tmp_path: Path) -> None:
    first, second = run(tmp_path, "hold_memory", "hold_memory", bytes=200 * 2**20)
    assert abs(second.result["before"] - first.result["before"]) < 20 * 2**20


def test_a_worker_s_malloc_has_no_caches_of_small_blocks_and_a_reading_says_so(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "say_how_memory_is_read")
    assert outcome.result["tunables"] == process_environment.MALLOC
    assert outcome.result["how"].endswith("malloc without caches of small blocks")


def test_a_user_s_own_tunables_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")
    assert (
        process_environment.for_workers(1)["GLIBC_TUNABLES"] == f"glibc.malloc.arena_max=4:{process_environment.MALLOC}"
    )


def test_the_yardstick_is_no_memory_of_the_training_that_it_is_taken_in(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "take_the_yardstick", timeout_seconds=120.0)
    assert outcome.result["bytes"] < 2 * 10**6


def test_a_crash_is_failed_with_the_reason_and_the_last_lines(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "crash")
    assert (outcome.status, outcome.reason) == (Status.FAILED, "ValueError: a wrong value")
    assert "the last words" in outcome.log_tail


def test_a_failure_keeps_its_reason_where_the_log_is_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "0.log").symlink_to("/dev/full")
    (outcome,) = run(tmp_path, "run_out_of_memory")
    assert (outcome.status, outcome.reason) == (Status.OUT_OF_MEMORY, "MemoryError: no message")


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no space
        file.seek(0, os.SEEK_END)
        file.write(b"\nbefore the last\nthe last line\n")
    assert log_tail(log)[-2:] == ("before the last", "the last line")


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("run_out_of_memory", Status.OUT_OF_MEMORY, "MemoryError"),
        ("kill_itself", Status.KILLED, "SIGKILL, which the kernel sends when memory runs out"),
        ("leave", Status.FAILED, "ended with status 7 and no result"),
    ],
)
def test_every_end_has_its_status(kind: str, status: Status, words: str, tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, kind)
    assert outcome.status is status
    assert words in outcome.reason


def test_a_task_over_its_time_is_stopped(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "sleep", timeout_seconds=1.0)
    assert (outcome.status, outcome.reason) == (Status.TIMEOUT, "took longer than 1 s")


def test_a_training_that_stops_stepping_is_taken_for_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "HANG_SECONDS", 1.0)
    (outcome,) = run(tmp_path, "hang_after_steps")
    assert outcome.status is Status.TIMEOUT
    assert outcome.reason.startswith("no step for 1 s")
    assert outcome.step == 3


def test_the_others_go_on_after_a_failure(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "crash", "kill_itself", "succeed", answer=1)
    assert [o.status for o in outcomes] == [Status.FAILED, Status.KILLED, Status.OK]


CORES = hardware.usable_cores()[:2]


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores whose numbers the system tells")
@pytest.mark.parametrize("alone", [True, False])
def test_a_task_that_runs_alone_may_use_the_cores_of_all_workers(
    alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: CORES)
    monkeypatch.setattr(hardware, "idle_first", list)
    task = Task(
        kind="fake_tasks:tell_cores", name="one", spec={}, log=tmp_path / "log", timeout_seconds=30.0, alone=alone
    )
    outcomes: list[Outcome] = []
    Pool(workers=2, threads=1, listen=lambda *_: None, preload=()).run([task], outcomes.append)
    assert outcomes[0].result["cores"] == (CORES if alone else CORES[:1])


def test_a_request_to_stop_at_once_waits_for_nothing(tmp_path: Path) -> None:
    pool = Pool(workers=1, threads=1, listen=lambda *_: None, preload=())
    task = Task(kind="fake_tasks:sleep", name="sleep", spec={}, log=tmp_path / "log", timeout_seconds=60)
    threading.Timer(2.0, setattr, (pool, "at_once", True)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pool.run([task], lambda _: None)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["wait_for_the_request", "end_at_the_request"])
def test_a_request_to_stop_interrupts_what_runs_and_starts_nothing_more(kind: str, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    pool: Pool

    def listen(task: Task, kind: str, content: Any) -> None:
        if kind == "say":
            threading.Timer(0.1, pool.stop).start()

    pool = Pool(workers=1, threads=1, listen=listen, preload=())
    tasks = [
        Task(kind=f"fake_tasks:{kind}", name=str(i), spec={}, log=tmp_path / "l", timeout_seconds=30) for i in range(2)
    ]
    pool.run(tasks, outcomes.append)
    assert [o.status for o in outcomes] == [Status.INTERRUPTED]
