"""`una-bench run --model MODEL --data DATA`: the keys behind the options, the screen before a run, and a whole run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from text_models import write_model, write_rows

from una_bench.cli import app, overview
from una_bench.cli.shorthand import Shorthand
from una_bench.errors import UserError
from una_bench.interfaces.prepared import DataSize
from una_bench.record import reader
from una_bench.suite import plan, recipe
from una_bench.suite.recipe import Recipe

TASK = (
    "task: mine\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s}}\ntest_split: test\n"
    "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: a\n"
)


def load(suite: str = "", changes: tuple[str, ...] = (), **given: Any) -> Recipe:
    short = Shorthand(**given)
    suite = short.suite(suite)
    return recipe.load(suite, [*short.changes(suite), *changes])


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data of the user's."""
    write_model(tmp_path / "model")
    rows = [{"prompt": f"Say {i}", "chosen": "yes" * (i % 7 + 1), "rejected": "no" * (i % 5 + 1)} for i in range(20)]
    write_rows(tmp_path / "pairs.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "suite"),
    [({}, "exact"), ({"tasks": "mmlu"}, "exact"), ({"model": "m"}, "preference"), ({"data": "d"}, "preference")],
)
def test_a_model_or_data_choose_the_suite(given: dict[str, str], suite: str) -> None:
    assert Shorthand(**given).suite("") == suite
    assert Shorthand(**given).suite("smollm2") == "smollm2"


def test_options_stand_for_keys() -> None:
    problem = load(model="my/model", data="my #1/data.jsonl", heldout="h.jsonl", reward_model="my/reward").problem
    assert (problem["policy"], problem["dataset"]["source"]) == ("my/model", "my #1/data.jsonl")
    assert problem["heldout"]["source"] == "h.jsonl"
    assert {k: problem["reward_model"][k] for k in ("name", "own_tokenizer", "own_template")} == {
        "name": "my/reward",
        "own_tokenizer": True,
        "own_template": None,
    }


def test_what_a_suite_says_of_its_data_goes_with_it() -> None:
    problem = load("smollm2", model="m", data="d").problem
    assert (problem["policy"], problem["heldout"], problem["score_range"]) == ("m", None, None)
    assert problem["max_prompt_length"] == 128
    assert load("smollm2", data="d", changes=("problem.score_range=[0,9]",)).problem["score_range"] == [0, 9]


def test_the_models_template_is_its_own() -> None:
    assert load("una-table1", model="m").problem["chat_template"] == ""


@pytest.mark.parametrize("suite", ["preference", "smollm2"])
def test_tasks_are_those_of_the_leaderboard(suite: str) -> None:
    settings = load(suite, tasks="hellaswag, leaderboard-v2", limit=50.0).benchmarks["leaderboard"]
    assert (settings["tasks"], settings["limit"], settings["limit_per"]) == (
        ["hellaswag", "leaderboard-v2"],
        50,
        "task",
    )


def test_a_suite_of_your_own_model_runs_no_leaderboard_unasked() -> None:
    assert "leaderboard" not in load(model="m", data="d").benchmarks


def test_every_method_trains_adapters_for_one_pass() -> None:
    loaded = load(model="m", data="d")
    assert loaded.budget.given() == {"epochs": 1}
    assert loaded.lora is not None and loaded.settings["ppo"][0]["value_adapters"]


@pytest.mark.parametrize(
    ("method", "beta", "rate"),
    [
        ("dpo", 0.1, 5e-6),
        ("kto", 0.1, 5e-6),
        ("una_pairwise", 0.1, 5e-6),
        ("una_binary", 0.01, 5e-6),
        ("una_score", 0.03, 3e-5),
        ("una_online", 0.03, 5e-6),
    ],
)
def test_settings_are_those_of_the_papers(method: str, beta: float, rate: float) -> None:
    [made] = recipe.variants(load(model="m", data="d"), method)
    assert (made.settings()["beta"], made.learning_rate) == (beta, rate)


def test_tasks_of_ones_own_are_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TASK % "a.jsonl")
    before = plan.make(load(tasks="mine", tasks_path=str(tmp_path)))
    (tmp_path / "mine.yaml").write_text(TASK % "b.jsonl")
    after = plan.make(load(tasks="mine", tasks_path=str(tmp_path)))
    assert before.key != after.key
    noted = f"benchmarks.leaderboard.tasks_sha256={before.recipe.benchmarks['leaderboard']['tasks_sha256']}"
    with pytest.raises(UserError, match="have changed: restore them, or remove tasks_sha256"):
        load(tasks="mine", tasks_path=str(tmp_path), changes=(noted,))


def test_the_screen_says_what_is_going_to_happen(own: Path) -> None:
    made = plan.make(load(model="model", data="pairs.jsonl", tasks="hellaswag", limit=50.0))
    data = overview.data_of(made)
    assert data is not None and data.estimated
    lines = overview.lines(made, data, Path("out"))
    assert lines | {"time": "", "memory": ""} == {
        "model": "model (13,136 weights; adapters of rank 32 train 16,384)",
        "data": "pairs.jsonl: about 36 responses to train on; held out: 10 % of the prompts",
        "lengths": "prompts up to about 22 tokens, responses up to about 6 (the 95th percentile of the data)",
        "reward": "trained on the pairs, from the policy",
        "methods": "base, dpo, kto, ppo, una_binary, una_online, una_pairwise, una_score (8 cells; seeds 0)",
        "budget": "1 pass over the data: about 36 responses, 5 steps of 8, for every method",
        "tasks": "hellaswag; at most 50 documents of each",
        "time": "",
        "memory": "",
        "folder": "out",
    }
    assert lines["time"].startswith("about ") and lines["time"].endswith("by rough arithmetic for an idle machine")


def test_what_is_not_known_yet_is_said() -> None:
    made = plan.make(load(model="my/model", data="my/data"))
    lines = overview.lines(made, None, Path("out"))
    assert lines["model"] == "my/model (of unknown size: it is not on this machine yet)"
    assert lines["data"] == "my/data: counted in preparation; held out: 10 % of the prompts"
    assert lines["lengths"] == "the 95th percentile of the data, counted in preparation"
    assert (lines["time"], lines["memory"]) == ("unknown before the preparation", "unknown")


@pytest.mark.parametrize(
    ("changes", "budget"),
    [
        (("budget.epochs=2",), "2 passes over the data: 2000 responses, 250 steps of 8, for every method"),
        (("budget.responses=100",), "100 responses, 13 steps of 8"),
        (("budget.tokens=2000000",), "2e+06 tokens, 8 responses a step"),
    ],
)
def test_the_screen_shows_any_budget(changes: tuple[str, ...], budget: str) -> None:
    made = plan.make(load("smollm2", changes=changes))
    size = DataSize(responses=1000, prompt_tokens=1, response_tokens=1, max_prompt_length=1, max_response_length=1)
    assert overview.lines(made, size, Path())["budget"] == budget


def test_data_that_cannot_be_read_stops_a_run_before_it_starts(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "pairs.jsonl").write_text("{")
    monkeypatch.setenv("UNA_BENCH_CACHE", str(own / "cache"))
    arguments = ["una-bench", "run", "--model", "model", "--data", "pairs.jsonl"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert said.err == (
        "una-bench: pairs.jsonl cannot be read as jsonl: line 1, column 2: Expecting property name enclosed in double "
        "quotes. Fix the file, or give another.\n"
    )


def test_one_line_runs_to_its_end(own: Path) -> None:
    write_rows(own / "mine.jsonl", [{"q": "a", "c": ["b", "d"], "a": 0}] * 3)
    (own / "tasks").mkdir()
    (own / "tasks" / "mine.yaml").write_text(TASK % (own / "mine.jsonl"))
    command = [sys.executable, "-m", "una_bench", "run", "--model", "model", "--data", "pairs.jsonl", "--out", "run"]
    command += ["--methods", "dpo,ppo", "--set", "problem.reward_model.steps=1", "--set", "budget.epochs=0.5"]
    command += ["--tasks-path", "tasks", "--limit", "2"]
    environment = {**os.environ, "UNA_BENCH_CACHE": str(own / "cache")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode == 0, ended.stderr
    said = " ".join(ended.stderr.split())
    assert "budget 0.5 passes over the data: about 18 responses, 3 steps of 8, for every method" in said
    assert "Lengths: problem.max_prompt_length=25 and problem.max_response_length=22 tokens, from the data" in said
    assert "Budget: 18 responses for every method" in said
    assert (
        "PPO: the budget is less than one rollout with all its passes, so it trains with responses_per_rollout=4"
        in said
    )
    records = {r.method: r for r in reader.records(own / "run")}
    prepared = json.loads((own / "run" / "run.json").read_text())["prepared"]
    for method in ("dpo", "ppo"):
        job = records[method].job
        assert (job["budget_responses"], job["max_new_tokens"]) == (18, prepared["max_new_tokens"])
    assert records["ppo"].facts["fitted"] == {"responses_per_rollout": 8}
    assert records["ppo"].settings["responses_per_rollout"] == 4
    assert any(m.metric.startswith("task.mine.") and m.samples for m in records["dpo"].measurements)
    assert "8 → 4 to fit the budget" in (own / "run" / "report.html").read_text()
