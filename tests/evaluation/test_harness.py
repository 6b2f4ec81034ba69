"""lm-eval as a library, on the exact problem's own tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

from una_bench.errors import UserError
from una_bench.evaluation import harness, scores, tasks
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.problems.exact import language, truth
from una_bench.record.schema import Better, Measurement

Leaderboard = registry.benchmark("leaderboard")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("exact")
    settings = {"kind": "exact", "sft_steps": 60, "responses": 64, "responses_heldout": 64, "reward_model": False}
    registry.problem(settings).prepare(folder, lambda _: None)
    return Prepared(folder)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cell")


@pytest.fixture(scope="module")
def measured(prepared: Prepared, out: Path) -> dict[str, Measurement]:
    benchmark = Leaderboard()
    benchmark.prepare(prepared, "cpu")
    checkpoint = Checkpoint(path=prepared.policy, prepared=prepared, out=out)
    benchmark.evaluate(checkpoint)  # a first checkpoint must leave nothing that changes the second
    return {m.metric: m for m in benchmark.evaluate(checkpoint)}


def test_the_suites_own_tasks_run(measured: dict[str, Measurement]) -> None:
    assert set(measured) == {"task.exact_choice.acc", "task.exact_generate.exact_match"}


def test_accuracy_is_the_share_of_questions_whose_best_response_is_most_probable(
    measured: dict[str, Measurement], prepared: Prepared
) -> None:
    known = truth.load(prepared.path)
    assert prepared.tasks is not None
    lines = (prepared.tasks / "exact_choice.jsonl").read_text().splitlines()
    right = []
    for question in map(json.loads, lines):
        row = known.logp_reference[language.prompt_number(question["prompt"])]
        guess = np.argmax([row[language.response_number(choice)] for choice in question["choices"]])
        right.append(guess == question["answer"])
    assert measured["task.exact_choice.acc"].value == pytest.approx(np.mean(right), abs=1e-9)


def test_exact_match_is_the_share_of_greedy_responses_that_the_optimum_prefers(
    measured: dict[str, Measurement], prepared: Prepared
) -> None:
    model = AutoModelForCausalLM.from_pretrained(prepared.policy).eval()
    assert prepared.tasks is not None
    lines = (prepared.tasks / "exact_generate.jsonl").read_text().splitlines()
    right = []
    for question in map(json.loads, lines):
        ids = torch.tensor([language.token_ids(question["prompt"])])
        greedy = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=4)
        text = "".join(language.VOCABULARY[i] for i in greedy[0, 2:])
        right.append(language.responses()[language.response_number(text)] == question["best"])
    assert measured["task.exact_generate.exact_match"].value == pytest.approx(np.mean(right), abs=1e-9)


def test_the_standard_error_is_lm_evals(measured: dict[str, Measurement]) -> None:
    accuracy = measured["task.exact_choice.acc"]
    expected = np.sqrt(accuracy.value * (1 - accuracy.value) / (256 - 1))
    assert accuracy.stderr == pytest.approx(expected, rel=1e-6)


def test_the_direction_is_lm_evals(measured: dict[str, Measurement]) -> None:
    assert measured["task.exact_choice.acc"].better is Better.HIGHER


@pytest.mark.usefixtures("measured")
def test_samples_and_results_stay_beside_the_checkpoint(out: Path) -> None:
    results = json.loads((out / "lmeval" / "exact_choice.results.json").read_text())
    samples = (out / "lmeval" / "exact_choice.samples.jsonl").read_text().splitlines()
    assert len(samples) == results["n-samples"]["exact_choice"]["effective"] == 256


def test_a_limit_shortens_a_task_and_is_told(prepared: Prepared, tmp_path: Path) -> None:
    benchmark = Leaderboard(tasks=("exact_choice",), limit=8)
    [measurement] = benchmark.evaluate(Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path))
    assert "8 of 256 documents" in measurement.how


def test_whether_a_chat_template_was_applied_is_told(measured: dict[str, Measurement]) -> None:
    assert measured["task.exact_choice.acc"].how.endswith("no chat template")


@pytest.fixture(scope="module")
def index() -> TaskManager:
    """Return an index of all lm-eval tasks."""
    return TaskManager()


def test_a_task_that_fails_is_a_row_with_its_reason_and_no_score(prepared: Prepared, tmp_path: Path) -> None:
    benchmark = Leaderboard(tasks=("exact_choice", "exact_generate"), limit=4)
    benchmark.prepare(prepared, "cpu")
    tasks = benchmark._harness.loaded["exact_choice"].tasks["tasks"]
    tasks["exact_choice"].process_results = None
    found = benchmark.evaluate(Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path))
    assert {m.metric: len(m.samples) for m in found} == {
        "task.exact_generate.exact_match": 1,
        "task.exact_choice.acc": 0,
    }
    assert found[-1].how.startswith("not run: TypeError")
    assert "TypeError" in json.loads((tmp_path / "lmeval" / "not_run.json").read_text())["exact_choice"]


def test_a_misspelled_task_gets_the_nearest_name(prepared: Prepared) -> None:
    with pytest.raises(UserError, match=r"no task 'exact_choise'.*exact_choice"):
        tasks.load(["exact_choise"], [prepared.path / "tasks"], harness.Options())


@pytest.mark.parametrize(
    ("scored", "metric"),
    [
        ("", "acc"),
        ("metric_list: [{metric: acc_norm}, {metric: acc}]\n", "acc_norm"),
        (
            "metric_list: [{metric: acc}]\nfilter_list: [{name: strict, filter: [{function: take_first}]}]\n",
            "acc.strict",
        ),
    ],
)
def test_a_task_whose_data_is_missing_is_a_row_with_its_reason_and_no_score(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: str, metric: str
) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "lost.yaml").write_text(
        "task: lost\ndataset_path: json\ndataset_kwargs: {data_files: {test: missing.jsonl}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: a\n" + scored
    )
    monkeypatch.chdir(tmp_path)
    benchmark = Leaderboard(tasks=("lost",))
    benchmark._harness = tasks.load(["lost"], [folder], harness.Options())
    [missing] = benchmark.evaluate(Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path))
    assert (missing.metric, missing.samples) == (f"task.lost.{metric}", ())
    assert missing.how.startswith("not run: FileNotFoundError")


def test_a_leaderboards_task_without_data_is_a_row_of_lm_evals_own_counting_too(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise ConnectionError("no data")

    monkeypatch.setattr(tasks, "_load", lost)
    benchmark = Leaderboard()
    benchmark._harness = tasks.load(["leaderboard-v1"], [], harness.Options())
    found = benchmark.evaluate(Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path))
    assert {m.how for m in found} == {"not run: ConnectionError: no data"}
    names = {m.metric for m in found}
    assert names >= {"task.gsm8k.exact_match.strict-match", "task.mmlu.acc", "paper.leaderboard_v1.mmlu"}


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("gsm8k", "exact_match.strict-match"),
        ("mmlu", "acc"),
        ("xlsum_amharic_prompt_1", "rougeL"),  # a function of its own
        ("gpqa", "score"),  # a tag
        ("squadv2", "score"),  # a class of its own
    ],
)
def test_the_metric_of_a_task_is_known_before_its_data(index: TaskManager, task: str, metric: str) -> None:
    assert tasks._first_metric(index, task) == metric


def test_a_filter_is_part_of_the_metrics_name() -> None:
    results = {
        "results": {
            "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": "N/A"}
        }
    }
    [measurement] = scores.measurements(results)
    assert (measurement.metric, measurement.stderr) == ("task.gsm8k.exact_match.strict-match", None)


def test_a_suite_without_tasks_needs_named_ones(tmp_path: Path) -> None:
    prepared = Prepared(tmp_path)
    assert (Leaderboard().applies(prepared), Leaderboard(tasks=("gsm8k",)).applies(prepared)) == (False, True)


@pytest.mark.parametrize("fast", ["float32", "bfloat16"])
def test_auto_is_recorded_as_the_precision_that_it_was(
    fast: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : amx_bf16" if fast == "bfloat16" else "flags : avx2")
    monkeypatch.setattr("una_bench.machine.hardware.CPUINFO", cpuinfo)
    found = Leaderboard(precision="auto").evaluate(
        Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path / "cell")
    )
    assert {"bfloat16" in m.how for m in found} == {fast == "bfloat16"}
