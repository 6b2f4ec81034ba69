"""One cell through the worker's own function: what it leaves, and that an impossible reading fails it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from una_bench.instruments.resident_memory import ImpossibleReadingError
from una_bench.interfaces.method import Job
from una_bench.record import storage
from una_bench.suite import plan
from una_bench.training import sharding
from una_bench.worker import entry

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")


class Pipe:
    """Keeps what a worker sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, message: tuple[str, Any]) -> None:
        self.sent.append(message)


def spec(job: Job, method: str = "una_score", **settings: Any) -> dict[str, Any]:
    return {
        "key": "k",
        "method": method,
        "settings": {"warmup_steps": 1, **settings},
        "job": {**plan.job_facts(job), "seed": 0},
        "prepared": str(job.prepared),
        "out": str(job.out),
        "benchmarks": {"memory": {}, "throughput": {}, "compute": {}, "energy": {}},
        "evaluate_points": 2,
    }


@pytest.fixture
def on_tokens(tiny_job: Job) -> Job:
    return replace(tiny_job, budget_responses=None, budget_tokens=900)


def left(job: Job, pipe: Pipe | None = None) -> dict[str, Any]:
    entry.train(spec(job), pipe or Pipe())  # type: ignore[arg-type]
    found = storage.read_json(job.out / "trained.json")
    assert found is not None
    return found


def test_a_reading_that_arithmetic_rules_out_fails_the_cell(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "training_bytes", lambda *_, **__: {"weights": 10**12})
    with pytest.raises(ImpossibleReadingError, match="1000000000000 B"):
        entry.train(spec(tiny_job), Pipe())  # type: ignore[arg-type]
    assert not (tiny_job.out / "trained.json").exists()


def test_the_budgets_that_did_not_stop_it_are_recorded_too(on_tokens: Job) -> None:
    facts = left(on_tokens)["facts"]
    assert facts["tokens_trained"] >= 900
    assert facts["tokens_trained"] == facts["prompt_tokens"] + facts["response_tokens"]
    assert min(facts[name] for name in ("optimizer_steps", "responses_trained", "flops", "training_seconds")) > 0


def test_progress_is_the_share_of_the_budget_in_its_own_kind(on_tokens: Job) -> None:
    pipe = Pipe()
    left(on_tokens, pipe)
    done = [content["done"] for kind, content in pipe.sent if kind == "step"]
    assert done == sorted(done)
    assert 0 < done[0] < 1


def test_every_curve_can_be_drawn_against_every_budget(on_tokens: Job) -> None:
    curves = {c["metric"]: c for c in left(on_tokens)["curves"]}
    for kind in ("steps", "tokens", "flops", "seconds"):
        assert set(curves["loss"]["x"]) <= set(curves[f"progress.{kind}"]["x"])
        assert list(curves[f"progress.{kind}"]["y"]) == sorted(curves[f"progress.{kind}"]["y"])


@pytest.mark.parametrize("method", ["dpo", "kto", "una_pairwise", "una_online", "ppo"])
def test_what_the_ledger_asks_for_is_told(method: str, tiny_job: Job) -> None:
    settings: dict[str, dict[str, Any]] = {
        "ppo": {"responses_per_rollout": 8, "num_ppo_epochs": 2, "num_mini_batches": 1},
        "una_online": {"responses_per_rollout": 16, "num_iterations": 2},
    }
    entry.train(spec(tiny_job, method, **settings.get(method, {})), Pipe())  # type: ignore[arg-type]
    facts = (storage.read_json(tiny_job.out / "trained.json") or {})["facts"]
    assert (facts["dropout"], facts["rows_dropped"], facts["rows_truncated"]) == (0.0, 0, 0)
    assert facts["reference"]
    online = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if method in settings else None
    assert facts.get("sampling") == online
    assert facts["energy"]


def test_a_package_that_is_imported_while_training_is_named_beside_what_it_changes(
    tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_strange_package.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    original = sharding.training_bytes
    monkeypatch.setattr(
        sharding, "training_bytes", lambda *a, **k: import_module("a_strange_package") and original(*a, **k)
    )
    found = left(tiny_job)
    assert found["facts"]["packages_imported_while_training"] == ["a_strange_package"]
    (peak,) = [m for m in found["measurements"] if m["metric"] == "memory.peak"]
    assert "includes the import of a_strange_package while training" in peak["how"]


def test_what_libraries_import_because_it_is_there_is_imported_before_the_memory_baseline(tmp_path: Path) -> None:
    (tmp_path / "deepspeed.py").write_text("")
    code = "import sys, una_bench.worker.preload; assert 'deepspeed' in sys.modules"
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "UNA_BENCH_WARM": "1", "PYTHONPATH": places}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "reason"),
    [
        (2**30, "RuntimeError: unexpected pos 64 vs 0"),
        (2**10, "RuntimeError: unexpected pos 64 vs 0 (No space left on device)"),
    ],
)
def test_a_failure_on_a_full_disk_says_so_whatever_the_library_says(
    free: int, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(entry.shutil, "disk_usage", lambda _: Usage(2**30, 2**30 - free, free))
    assert entry._reason(RuntimeError("unexpected pos 64 vs 0"), tmp_path) == reason
