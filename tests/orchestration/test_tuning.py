"""A tuned run from the command line: three stages, resumed and extended by the same command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_problem import una_bench

from una_bench.analysis import tuning
from una_bench.record import reader
from una_bench.record.schema import Status

RECIPE: dict[str, Any] = {
    "name": "tuned",
    "problem": {"kind": "exact", "responses": 64, "responses_heldout": 16, "sft_steps": 5, "reward_model": False},
    "methods": ["dpo", "una_score"],
    "seeds": [0],
    "training": {"beta": 0.5, "warmup_steps": 0},
    "budget": {"responses": 32},
    "batch_responses": 16,
    "benchmarks": {"oracle": {}},
    "workers": 2,
}
DIVERGING = "tune.space.una_score.learning_rate=[1.0e+30,1.0e+31]"
"""The loss is not a number after one step, so that every trial of this method is spent without a result."""


class Tuned:
    """A recipe, and the run of it with two trials and then with three."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        (folder / "tuned.yaml").write_text(yaml.safe_dump(RECIPE))
        self.first = self.call("trials=2")
        self.kept = (self.run / "tuning" / "records.jsonl").read_text().splitlines()
        self.second = self.call("trials=3")

    def call(self, tune: str) -> subprocess.CompletedProcess[str]:
        return una_bench(self.folder, "run", "tuned.yaml", "--tune", tune, "--set", DIVERGING, "--out", "run")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    monkeypatch_module.setenv("UNA_BENCH_CACHE", str(folder / "cache"))
    return Tuned(folder)


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_the_command_ends_well(tuned: Tuned) -> None:
    assert (tuned.first.returncode, tuned.second.returncode) == (0, 0), tuned.first.stderr + tuned.second.stderr


def test_every_method_has_every_trial_and_a_diverged_one_is_spent(tuned: Tuned) -> None:
    results = tuning.read(tuned.run)
    assert results is not None
    assert {s.method: (len(s.trials), s.failed) for s in results.searches} == {"dpo": (3, 0), "una_score": (3, 3)}


def test_more_trials_keep_those_that_were_made(tuned: Tuned) -> None:
    lines = (tuned.run / "tuning" / "records.jsonl").read_text().splitlines()
    assert lines[: len(tuned.kept)] == tuned.kept
    assert (len(tuned.kept), len(lines)) == (4, 6)


def test_winners_are_trained_with_the_suites_seeds_and_the_chosen_settings(tuned: Tuned) -> None:
    results = tuning.read(tuned.run)
    assert results is not None
    [search] = [s for s in results.searches if s.method == "dpo"]
    [winner] = [r for r in reader.records(tuned.run / "tuned") if r.method == "dpo"]
    assert search.chosen is not None
    assert winner.seed == 0
    assert winner.settings.items() >= search.trials[search.chosen].drawn.items()
    assert winner.facts["tuning"]["trials"] == 3


def test_trials_start_from_the_weights_and_data_of_the_suite(tuned: Tuned) -> None:
    records = [r for part in ("", "tuning", "tuned") for r in reader.records(tuned.run / part) if r.method == "dpo"]
    assert len({(r.facts["initial_weights_sha256"], r.problem) for r in records}) == 1


def test_trials_measure_validation_prompts(tuned: Tuned) -> None:
    for record in (r for r in reader.records(tuned.run / "tuning") if r.status is Status.OK):
        assert "oracle.regret.validation" in {m.metric for m in record.measurements}


def test_tables_are_printed_and_saved(tuned: Tuned) -> None:
    assert "What tuning was worth" in tuned.second.stdout
    assert "best of 3" in (tuned.run / "tuning.md").read_text()
    assert "After tuning" in (tuned.run / "report.html").read_text()


def test_a_method_whose_trials_all_diverged_has_no_row_after_tuning(tuned: Tuned) -> None:
    trials = [r for r in reader.records(tuned.run / "tuning") if r.method == "una_score"]
    assert {r.status for r in trials} == {Status.DIVERGED}
    assert {r.method for r in reader.records(tuned.run / "tuned")} == {"base", "dpo"}
    assert "none: no trial has a result (diverged)" in (tuned.run / "tuning.md").read_text()
