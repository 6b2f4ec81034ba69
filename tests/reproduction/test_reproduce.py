"""`una-bench reproduce` on a made model: every path from a file with presets and scales to the table of verdicts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from text_models import scored_rows, write_model, write_rows

SIZES = {"responses_per_rollout": 4}
RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "made",
    "preset": "paper",
    "problem": {
        "kind": "preference",
        "policy": "nobody/large",
        "dataset": "nobody/data",
        "heldout_share": 0.25,
        "max_prompt_length": 100,
        "max_response_length": 20,
        "reward_model": {"steps": 2, "batch": 2},
    },
    "methods": ["ppo", "una_online"],
    "seeds": [0, 1],
    "training": {"learning_rate": 1e-3, "warmup_ratio": 0.1},
    "settings": {
        "ppo": {**SIZES, "num_ppo_epochs": 2, "num_mini_batches": 1, "local_rollout_forward_batch_size": 4},
        "una_online": {**SIZES, "num_generations": 1, "num_iterations": 2},
    },
    "budget": {"responses": 10**6},
    "batch_responses": 4,
    "benchmarks": {"throughput": {}},
    "presets": {"paper": {}, "authors_code": {"una_online.anchor": "rollout", "una_online.reduction": "sum"}},
    "scales": {"small": {"budget.responses": 16, "problem.max_response_length": 8, "workers": 2}},
    "reproduces": {
        "tables": ["4"],
        "claims": ["training-time"],
        "rows": {"Qwen2-1.5B": {"method": "base"}, "RLHF": {"method": "ppo"}, "UNA": {"method": "una_online"}},
        "assumed": {"prompt_tokens": 10, "response_tokens": 5},
    },
}


class Reproduction:
    """A folder with a model, data and a suite, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "run"
        policy, data = write_model(folder / "model"), write_rows(folder / "data.jsonl", scored_rows())
        (folder / "made.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
        self.own = ["--set", f"problem.policy={policy}", "--set", f"problem.dataset={data}"]
        self.environment = {**os.environ, "UNA_BENCH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}

    def __call__(self, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "una_bench", "reproduce", "made.yaml", "--quiet", *self.own, *more]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=400, check=False
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Reproduction(tmp_path_factory.mktemp("reproduce"))
    made.result = made("--preset", "authors_code", "--scale", "small", "--out", str(made.out))  # type: ignore[attr-defined]
    return made


def test_the_small_scale_runs_to_its_end(small: Any) -> None:
    assert small.result.returncode == 0, small.result.stderr


def test_its_table_says_loudly_that_it_is_no_reproduction(small: Any) -> None:
    text = (small.out / "reproduction.md").read_text()
    assert text.startswith("### NOT A REPRODUCTION (small scale, another model and data)")
    assert "| agrees |" not in text and "| differs |" not in text


def test_the_table_is_printed_and_kept_in_two_formats(small: Any) -> None:
    assert "NOT A REPRODUCTION" in small.result.stdout
    assert (small.out / "reproduction.csv").read_text().count("\n") == 1 + 3 * 7 + 1


def test_the_ratio_of_times_is_measured(small: Any) -> None:
    (line,) = (x for x in (small.out / "reproduction.csv").read_text().splitlines() if "RLHF / UNA" in x)
    assert "not comparable" in line and "n/a" not in line


def test_the_preset_reached_the_method(small: Any) -> None:
    text = (small.out / "records.jsonl").read_text()
    assert '"anchor":"rollout"' in text and '"reduction":"sum"' in text


def test_the_run_says_which_preset_and_scale_it_was(small: Any) -> None:
    recipe = yaml.safe_load((small.out / "recipe.yaml").read_text())
    assert recipe["name"] == "made-authors_code-small"


def test_again_it_trains_nothing_and_keeps_its_table(small: Any) -> None:
    before = (small.out / "reproduction.md").read_bytes()
    again = small("--preset", "authors_code", "--scale", "small", "--out", str(small.out))
    assert "0 cells trained now" in again.stdout
    assert (small.out / "reproduction.md").read_bytes() == before


def test_another_scale_is_refused_in_the_same_folder(small: Any) -> None:
    other = small("--preset", "paper", "--scale", "small", "--out", str(small.out))
    assert (other.returncode, "is a run of another recipe" in other.stderr) == (2, True)


def test_an_unknown_preset_is_one_message(small: Any) -> None:
    other = small("--preset", "author")
    assert other.returncode == 2
    assert "has no preset 'author'. Did you mean 'authors_code'?" in other.stderr
