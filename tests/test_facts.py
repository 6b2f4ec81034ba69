"""What a method tells the fairness ledger of the rows it was given."""

from __future__ import annotations

from types import SimpleNamespace

from una_bench.facts import record_rows
from una_bench.measure import Probe


def told(max_length: int | None, kept: int = 3) -> tuple[int, int]:
    probe = Probe()
    trainer = SimpleNamespace(args=SimpleNamespace(max_length=max_length))
    record_rows(probe, trainer, given=3, kept=kept, lengths=[4, 8, 9])
    return probe.facts["rows_dropped"], probe.facts["rows_truncated"]


def test_rows_longer_than_the_trainer_s_limit_are_truncated() -> None:
    assert told(8) == (0, 1)


def test_without_a_limit_nothing_is_truncated() -> None:
    assert told(None) == (0, 0)


def test_rows_that_the_trainer_left_out_are_dropped() -> None:
    assert told(None, kept=1) == (2, 0)
