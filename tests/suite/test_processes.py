"""Several processes a cell: what a machine or a job must have, and what each process will hold."""

from __future__ import annotations

import pytest

from una_bench.errors import UserError
from una_bench.machine import hardware
from una_bench.suite import plan, processes, recipe, requirements


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: [0, 1, 2])
    asked = recipe.load("ci", ["processes=2", "threads=2"])
    with pytest.raises(UserError, match="processes=2 with threads=2 needs 4 cores, and this machine gives 3"):
        processes.require_machine(asked, "cpu")


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(16)))
    monkeypatch.setattr(hardware, "cards", lambda: ["0"])
    with pytest.raises(UserError, match="processes=2 needs 2 cards, and this machine gives 1"):
        processes.require_machine(recipe.load("ci", ["processes=2"]), "cuda")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("slurm={cpus_per_task: 1}", "slurm.cpus_per_task=1 gives fewer"),
        ("slurm={gpus_per_node: 'a100:1'}", "needs 2 cards a job, and the job asks for 1"),
        ("slurm={gres: gpu}", "needs 2 cards a job, and the job asks for 1"),
    ],
)
def test_a_job_that_is_too_small_is_refused(asked: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        processes.require_job(recipe.load("ci", ["processes=2", asked]))


def test_one_process_is_part_of_no_key() -> None:
    keys = [cell.key for cell in plan.make(recipe.load("ci"), ["dpo"]).cells]
    assert keys == [cell.key for cell in plan.make(recipe.load("ci", ["processes=1"]), ["dpo"]).cells]
    assert keys != [cell.key for cell in plan.make(recipe.load("ci", ["processes=2"]), ["dpo"]).cells]


def test_a_process_needs_less_than_all_of_a_batch() -> None:
    changes = ["problem.policy=smollm2", "problem.dataset=x.jsonl", "workers=1"]
    one, two = (
        requirements.of(plan.make(recipe.load("preference", [*changes, f"processes={number}"]), ["una_score"]))
        for number in (1, 2)
    )
    assert one is not None and two is not None
    (first, second) = (required.peak_bytes(required.plan.cells[-1]) for required in (one, two))
    assert one.state_bytes(one.plan.cells[-1]) < second < first
    assert two.memory_bytes > one.memory_bytes
