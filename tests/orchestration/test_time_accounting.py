"""Where the time of a run goes, on a clock that is set by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from una_bench.orchestration.process_pool import Outcome, Task
from una_bench.orchestration.time_accounting import Accounting
from una_bench.record.schema import Status


def outcome(seconds: float) -> Outcome:
    task = Task(kind="train", name="x", spec={}, log=Path("log"), timeout_seconds=1)
    return Outcome(task=task, status=Status.OK, seconds=seconds)


def left(seconds: float, **phases: float) -> dict[str, Any]:
    return {"seconds": seconds, "phase_seconds": phases}


def accounting(workers: int = 1) -> tuple[Accounting, list[float]]:
    now = [0.0]
    return Accounting(workers, clock=lambda: now[0]), now


def test_what_a_worker_does_beside_training_is_the_harness_s() -> None:
    made, now = accounting()
    now[0] = 100
    made.trained(outcome(100), left(97))
    assert made.summary()["harness_share"] == pytest.approx(0.03)


def test_hashing_and_reading_tables_is_the_harness_s() -> None:
    made, now = accounting()
    now[0] = 100
    made.trained(outcome(100), left(97, bookkeeping=2))
    assert made.summary()["harness_seconds"] == pytest.approx(5)


def test_time_without_a_worker_is_the_harness_s() -> None:
    made, now = accounting()
    now[0] = 60
    made.trained(outcome(50), left(50))
    now[0] = 100
    assert made.summary()["harness_seconds"] == pytest.approx(10 + 40)


def test_workers_beside_each_other_are_not_counted_twice() -> None:
    made, now = accounting(workers=2)
    now[0] = 100
    made.trained(outcome(100), left(90))
    made.evaluated(outcome(100), 90)
    assert made.summary()["harness_seconds"] == pytest.approx(10)


def test_preparation_and_imports_are_apart() -> None:
    made, now = accounting()
    made.once_seconds = 30
    now[0] = 100
    made.trained(outcome(70), left(70))
    assert made.summary()["harness_seconds"] == 0


def test_a_training_that_failed_was_no_harness() -> None:
    made, now = accounting()
    now[0] = 100
    made.trained(outcome(100), None)
    assert made.summary()["harness_share"] == 0
