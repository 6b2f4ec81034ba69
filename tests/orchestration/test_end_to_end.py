"""A small run through the command line: every method, killed half way, gone on with, and then nothing left to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from una_bench.record import reader
from una_bench.record.schema import Record, Status

METHODS = ["base", "dpo", "kto", "ppo", "una_binary", "una_online", "una_pairwise", "una_score"]
"""Those of the default run."""
RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "problem": {"kind": "exact", "responses": 256, "sft_steps": 30},
    "methods": METHODS,
    "seeds": [0],
    "training": {"beta": 0.5, "warmup_steps": 1},
    "settings": {
        "una_binary": [{"loss_type": "mse"}, {"loss_type": "bce"}],
        "ppo": {"responses_per_rollout": 32, "num_mini_batches": 2, "num_ppo_epochs": 2},
        "una_online": {"responses_per_rollout": 32},
    },
    "budget": {"responses": 256},
    "batch_responses": 16,
    "benchmarks": {"memory": {}, "throughput": {}, "oracle": {}, "leaderboard": {}},
    "evaluate_points": 2,
    "workers": 2,
    "timeout_minutes": 5,
}


class Run:
    """One run folder and the environment to call una-bench in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "run"
        self.recipe = folder / "small.yaml"
        self.recipe.write_text(yaml.safe_dump(RECIPE))
        self.environment = {**os.environ, "UNA_BENCH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}

    def start(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "una_bench", "run", str(self.recipe), "--out", str(self.out), *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def finish(self, *more: str) -> tuple[int, str, str]:
        process = self.start(*more)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was killed (SIGKILL) after its first finished training, and then gone on with to the end."""
    made = Run(tmp_path_factory.mktemp("end-to-end"))
    first = made.start()
    for _ in range(3000):
        if list(made.out.glob("cells/*/trained.json")) or first.poll() is not None:
            break
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    made.before = {p: p.stat().st_mtime_ns for p in made.out.glob("cells/*/trained.json")}  # type: ignore[attr-defined]
    made.result = made.finish()  # type: ignore[attr-defined]
    return made


def records(run: Run) -> list[Record]:
    return reader.records(run.out)


def test_a_killed_run_is_finished_by_the_same_command(run: Any) -> None:
    code, _, err = run.result
    assert code == 0, err
    assert {r.method for r in records(run)} == set(METHODS)
    assert {r.status for r in records(run)} == {Status.OK}


def test_what_was_trained_before_the_kill_is_kept(run: Any) -> None:
    assert run.before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in run.before.items())


def test_each_cell_has_one_record(run: Run) -> None:
    lines = (run.out / "records.jsonl").read_text().splitlines()
    cells = [json.loads(line)["cell"] for line in lines]
    assert len(cells) == len(set(cells)) == len(METHODS) + 1  # una_binary has two variants


def test_the_table_shows_every_method(run: Any) -> None:
    _, out, _ = run.result
    for record in records(run):
        assert record.label in out
    assert "token/s" in (run.out / "table.md").read_text()


@pytest.mark.parametrize("name", ["table.md", "table.csv", "report.html", "recipe.yaml", "run.json"])
def test_the_result_is_saved(run: Run, name: str) -> None:
    assert (run.out / name).stat().st_size > 100


def test_figures_are_saved_as_svg_and_png(run: Run) -> None:
    figures = [p.name for p in (run.out / "plots").iterdir()]
    assert {n.removesuffix(".svg") for n in figures if n.endswith(".svg")} == {
        n.removesuffix(".png") for n in figures if n.endswith(".png")
    }
    assert len(figures) >= 6


def test_every_trained_cell_is_measured(run: Run) -> None:
    for record in records(run):
        names = {m.metric for m in record.measurements}
        assert "oracle.regret.train" in names
        costs = record.facts["evaluation"]
        assert set(costs) == {"oracle", "leaderboard"}
        assert all(cost["seconds"] > 0 and cost["peak_bytes"] >= 0 for cost in costs.values())
        assert any(n.startswith("task.") for n in names)
        if record.method != "base":
            assert {"memory.peak", "throughput.tokens_per_second"} <= names
            assert record.facts["optimizer_steps"] >= 1
            assert record.facts["responses_trained"] >= 256


def test_every_method_starts_from_the_same_weights(run: Run) -> None:
    hashes = {r.facts["initial_weights_sha256"] for r in records(run) if r.method != "base"}
    assert len(hashes) == 1


def test_offline_methods_see_the_same_responses(run: Run) -> None:
    hashes = {h for r in records(run) if (h := r.facts.get("responses_set_sha256"))}
    assert len(hashes) == 1


def test_running_again_trains_nothing_and_changes_no_record(run: Any) -> None:
    before = (run.out / "records.jsonl").read_bytes()
    code, out, err = run.finish()
    assert code == 0, err
    assert "0 cells trained now" in out
    assert (run.out / "records.jsonl").read_bytes() == before


def test_a_changed_recipe_is_refused_in_the_same_folder(run: Any) -> None:
    code, _, err = run.finish("--set", "budget.responses=512")
    assert code == 2
    assert "is a run of another recipe" in err


def test_a_second_run_is_told_who_holds_the_folder(run: Run) -> None:
    first = run.start("--seeds", "0,1", "--methods", "dpo")
    try:
        for _ in range(600):
            if (run.out / ".owner.json").exists():
                break
            time.sleep(0.05)
        code, _, err = run.finish()
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=120)
    assert code == 2
    assert f"is in use by process {first.pid} since 20" in err


def test_interrupting_keeps_what_is_done_and_says_how_to_go_on(run: Run) -> None:
    process = run.start("--seeds", "5", "--methods", "dpo")
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "To resume: una-bench run" in err
