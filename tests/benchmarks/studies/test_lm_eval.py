"""The study of lm-eval's commands: arguments, totals, comparison of answers."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "studies"))
answers = importlib.import_module("lm_eval_answers")
commands = importlib.import_module("lm_eval_commands")
sides = importlib.import_module("lm_eval_sides")
summary = importlib.import_module("lm_eval_summary")

HASHES = {"doc_hash": "d", "prompt_hash": "p", "target_hash": "t", "filter": "none"}


def ours(folder: Path, responses: Any, score: float = 0.5, **changed: str) -> Any:
    """Write our side's output for one task with one document."""
    results = {"results": {"quiz": {"acc,none": score, "acc_stderr,none": 0.1}}, "n-samples": {"quiz": {}}}
    sample = {"doc_id": 3, "resps": responses, **HASHES, **changed}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quiz.results.json").write_text(json.dumps(results))
    (folder / "quiz.samples.jsonl").write_text(json.dumps(sample) + "\n")
    return answers.Answers(folder, "quiz", command=False)


def theirs(folder: Path, responses: Any, score: float = 0.5) -> Any:
    """Write the output of lm-eval's command for the same task."""
    inner = folder / "model"
    inner.mkdir(parents=True)
    results = {"results": {"quiz": {"acc,none": score, "acc_stderr,none": "N/A"}}, "n-samples": {"quiz": {}}}
    (inner / "results_2026-01-01T00-00-00.json").write_text(json.dumps(results))
    sample = {"doc_id": 3, "resps": responses, **HASHES}
    (inner / "samples_quiz_2026-01-01T00-00-00.jsonl").write_text(json.dumps(sample) + "\n")
    (inner / "samples_quiz_hard_2026-01-01T00-00-00.jsonl").write_text("")
    return answers.Answers(folder, "quiz", command=True)


def options(**changed: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"tasks": ["leaderboard-v1"], "limit": 2.0, "limit_per": "task"} | changed)


def test_the_command_names_the_documents_that_our_side_chose(tmp_path: Path) -> None:
    found = commands.task_arguments("quiz", options(), ours(tmp_path, ["x"]))
    assert found == ["--tasks", "quiz", "--samples", '{"quiz": [3]}']


def test_with_lm_evals_own_limit_the_command_gets_that_limit(tmp_path: Path) -> None:
    found = commands.task_arguments("quiz", options(limit_per="subtask"), ours(tmp_path, ["x"]))
    assert found == ["--tasks", "quiz", "--limit", "2"]


def test_the_command_gets_the_leaderboards_number_of_examples() -> None:
    assert commands.task_arguments("arc_challenge", options(), None)[-2:] == ["--num_fewshot", "25"]


def test_a_log_likelihood_is_compared_as_a_number(tmp_path: Path) -> None:
    mine, other = ours(tmp_path / "a", [[[-1.5, True]]]), theirs(tmp_path / "b", [[["-1.25", "True"]]])
    found = answers.compare(mine, other)
    assert (found.log_likelihoods, found.largest_difference, found.greedy_that_differ) == (1, 0.25, 0)


def test_a_greedy_judgment_that_differs_is_counted(tmp_path: Path) -> None:
    mine, other = ours(tmp_path / "a", [[[-1.5, True]]]), theirs(tmp_path / "b", [[["-1.5", "False"]]])
    assert answers.compare(mine, other).greedy_that_differ == 1


def test_a_text_of_digits_is_compared_as_text(tmp_path: Path) -> None:
    found = answers.compare(ours(tmp_path / "a", [["42"]]), theirs(tmp_path / "b", [["42.0"]]))
    assert (found.texts, found.texts_that_differ, found.log_likelihoods) == (1, 1, 0)


def test_another_prompt_is_seen(tmp_path: Path) -> None:
    found = answers.compare(ours(tmp_path / "a", ["x"], prompt_hash="q"), theirs(tmp_path / "b", ["x"]))
    assert not found.same_prompts


@pytest.mark.parametrize(("score", "agree", "identical"), [(0.5, True, 1), (0.50001, True, 0), (0.51, False, 0)])
def test_scores_agree_up_to_rounding_and_are_identical_to_the_bit(
    tmp_path: Path, score: float, agree: bool, identical: int
) -> None:
    compared = answers.compare(ours(tmp_path / "a", ["x"], score), theirs(tmp_path / "b", ["x"]))
    found = answers.verdict([vars(compared)])
    assert (found["scores_agree"], found["scores_identical"]) == (agree, identical)


def test_nothing_compared_is_no_agreement() -> None:
    assert not answers.verdict([])["scores_agree"]


def line(checkpoint: str, seconds: float, status: int = 0) -> dict[str, Any]:
    return {"checkpoint": checkpoint, "task": "quiz", "status": status, "seconds": seconds, "cpu_seconds": seconds}


def checkpoint(name: str, seconds: float) -> Any:
    return sides.Evaluated(checkpoint=name, seconds=seconds, cpu_seconds=seconds, tasks={"quiz": seconds})


def test_checkpoints_without_commands_cost_what_the_measured_adapters_do() -> None:
    fast = sides.Spent(seconds=20.0, cpu_seconds=10.0, status=0)
    lines = [line("adapter-1", 30.0), line("base", 18.0), line("base", 4.0, status=1)]
    found = summary.totals(
        lines, fast, [checkpoint("base", 5.0), *(checkpoint(f"adapter-{n}", 5.0) for n in (1, 2))], 3
    )
    assert found["seconds"]["lm_eval"] == 30.0 + 18.0 + 30.0
    assert found["seconds"]["ratio"] == pytest.approx(78 / 20)


def test_without_starts_each_side_counts_only_its_evaluation() -> None:
    fast = sides.Spent(seconds=20.0, cpu_seconds=10.0, status=0)
    lines = [line("adapter-1", 30.0), line("adapter-1", 24.0), line("adapter-1", 4.0, status=1)]
    found = summary.totals(lines, fast, [checkpoint("adapter-1", 10.0)], 1)
    assert found["seconds"]["ratio_without_starts"] == pytest.approx((26 + 20) / 10)


def test_a_process_is_timed_with_its_children(tmp_path: Path) -> None:
    burn = "import subprocess,sys; subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))'])"
    found = sides.timed([sys.executable, "-c", burn], dict(os.environ), tmp_path / "log")
    alone = sides.timed([sys.executable, "-c", ""], dict(os.environ), tmp_path / "log")
    assert found.cpu_seconds > 1.5 * alone.cpu_seconds


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    found = sides.timed([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), tmp_path / "log")
    assert found.status == 3
