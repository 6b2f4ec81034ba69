"""One cell on two processes in the pool: its end, a death of one of them, and a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from una_bench.interfaces.method import Job
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.record import storage
from una_bench.record.schema import Status
from una_bench.suite import plan

STEPS = 400


@pytest.fixture
def job(tiny_job: Job) -> Job:
    return replace(tiny_job, processes=2, budget_responses=None, budget_steps=STEPS)


def run(job: Job, at_step: Callable[[Pool], Any] = lambda pool: None, after: int = 20) -> Outcome:
    """Train ``job``, and call ``at_step`` once when it has done ``after`` steps."""
    called: list[Any] = []

    def listen(task: Task, kind: str, content: Any) -> None:
        if kind == "step" and content["step"] >= after and not called:
            called.append(at_step(pool))

    pool = Pool(workers=1, threads=1, processes=2, listen=listen)
    job.out.mkdir(exist_ok=True)
    spec = {
        "key": "k",
        "method": "una_score",
        "settings": {"warmup_steps": 1},
        "job": {**plan.job_facts(job), "seed": 0},
        "prepared": str(job.prepared),
        "out": str(job.out),
        "benchmarks": {"memory": {}, "throughput": {}},
        "evaluate_points": 1,
    }
    outcomes: list[Outcome] = []
    pool.run([Task(kind="train", name="cell", spec=spec, log=job.out / "log", timeout_seconds=300)], outcomes.append)
    return outcomes[0]


def ranks() -> list[psutil.Process]:
    """Return the processes that train, which are descendants of this one."""
    return [p for p in psutil.Process().children(recursive=True) if "una_bench.worker.rank" in p.cmdline()]


def none_left(seen: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(seen, timeout=20)[1]


def test_first_process_writes_the_result_of_all(job: Job) -> None:
    outcome = run(replace(job, budget_steps=8))
    assert outcome.status is Status.OK, outcome.log_tail
    trained = storage.read_json(job.out / "trained.json")
    assert trained is not None
    assert trained["facts"]["responses_trained"] == 64
    peak = next(m for m in trained["measurements"] if m["metric"] == "memory.peak")
    assert peak["how"].endswith("the largest of 2 processes, each counted by itself")


def test_a_killed_process_ends_the_cell_with_its_reason(job: Job) -> None:
    seen: list[psutil.Process] = []

    def kill(_: Pool) -> None:
        seen.extend(ranks())
        seen[-1].kill()

    outcome = run(job, kill)
    assert (outcome.status, outcome.reason[-30:]) == (Status.KILLED, "kernel sends when memory runs out"[-30:])
    assert "of 2 was killed by SIGKILL" in outcome.reason
    assert len(seen) == 2
    assert none_left(seen)


def test_an_error_ends_the_cell_with_its_reason(job: Job) -> None:
    outcome = run(replace(job, batch_responses=7))
    reason = "2 processes cannot divide the 7 rows of a step. Choose a divisor."
    assert outcome.status is Status.FAILED
    assert outcome.reason in {f"{reason} (process {rank} of 2)" for rank in (0, 1)}
    assert ranks() == []


def test_a_killed_launcher_leaves_no_process(job: Job) -> None:
    seen: list[psutil.Process] = []

    def kill(pool: Pool) -> None:
        seen.extend(ranks())
        pool._running[0].process.kill()

    assert run(job, kill).status is Status.KILLED
    assert len(seen) == 2
    assert none_left(seen)


def test_a_stopped_training_goes_on_to_the_same_weights(job: Job, tmp_path: Path) -> None:
    whole, short = (replace(job, out=tmp_path / name, budget_steps=60) for name in ("whole", "parts"))
    assert run(whole).status is Status.OK
    assert run(short, lambda pool: pool.stop()).status is Status.INTERRUPTED
    assert ranks() == []
    assert run(short).status is Status.OK
    facts = (storage.read_json(short.out / "trained.json") or {})["facts"]
    assert facts["resumed"] == 1, json.dumps(facts)
    one, other = (load_file(j.out / "checkpoint" / "model.safetensors") for j in (whole, short))
    assert all(torch.equal(one[name], other[name]) for name in one)
