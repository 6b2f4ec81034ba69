"""Two runs at once keep to different processor cores while there are enough, and say so where there are not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from una_bench.machine import core_affinity
from una_bench.machine.core_affinity import claimed
from una_bench.orchestration import process_pool
from una_bench.orchestration.process_pool import Outcome, Pool, Task

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
REAL = core_affinity.usable()


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four cores that nobody else claims."""
    monkeypatch.setattr(core_affinity, "usable", lambda: [0, 1, 4, 5])
    monkeypatch.setattr(core_affinity, "_folder", lambda: tmp_path / "claims")


def test_two_runs_at_once_get_different_cores() -> None:
    with claimed(2) as first, claimed(2) as second:
        assert (first, second) == (([0, 1], False), ([4, 5], False))


def test_a_run_that_has_to_share_is_told() -> None:
    with claimed(3) as first, claimed(2) as second:
        assert (first, second) == (([0, 1, 4], False), ([5, 0], True))


def test_cores_are_free_again_afterwards() -> None:
    with claimed(4):
        pass
    with claimed(1) as found:
        assert found == ([0], False)


def test_no_more_cores_than_there_are() -> None:
    with claimed(9) as found:
        assert found == ([0, 1, 4, 5], False)


def test_a_system_that_does_not_tell_its_cores_has_none_to_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_affinity, "usable", list)
    with claimed(2) as found:
        assert found == ([], False)


def test_cores_count_as_free_where_no_claim_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(core_affinity, "_folder", lambda: tmp_path / "file" / "claims")
    with claimed(2) as first, claimed(2) as second:
        assert first == second == ([0, 1], False)


@pytest.mark.parametrize("other", [0, 4])
def test_a_pool_says_that_it_shares_its_cores(other: int, tmp_path: Path) -> None:
    said: list[object] = []
    outcomes: list[Outcome] = []
    task = Task(kind="fake_tasks:succeed", name="one", spec={"answer": 1}, log=tmp_path / "log", timeout_seconds=30.0)
    with claimed(other):
        pool = Pool(workers=1, threads=1, listen=lambda _, kind, text: said.append((kind, text)), preload=())
        pool.run([task], outcomes.append)
    assert outcomes[0].result["answer"] == 1
    assert said.count(("say", process_pool.SHARED)) == (1 if other else 0)


@pytest.mark.skipif(len(REAL) < 2, reason="needs two cores whose numbers the system tells")
@pytest.mark.parametrize("alone", [True, False])
def test_what_runs_alone_may_use_the_cores_of_all_workers(
    alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, log = REAL[:2], tmp_path / "log"
    monkeypatch.setattr(core_affinity, "usable", lambda: mine)
    task = Task(kind="fake_tasks:tell_cores", name="one", spec={}, log=log, timeout_seconds=30.0, alone=alone)
    outcomes: list[Outcome] = []
    Pool(workers=2, threads=1, listen=lambda *_: None, preload=()).run([task], outcomes.append)
    assert outcomes[0].result["cores"] == (mine if alone else mine[:1])
