"""What is missing where there is no network, and the folder that brings it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from text_models import scored_rows, write_model, write_rows

from una_bench.errors import UserError
from una_bench.evaluation import task_names
from una_bench.interfaces import registry
from una_bench.models import hub, offline
from una_bench.orchestration import bundle, missing_inputs, preparation
from una_bench.record import sealed_folder
from una_bench.suite import draws, plan, recipe
from una_bench.suite.plan import Plan

COMMITTED = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, hubs off, and everything as it was afterwards."""
    before = dict(os.environ)
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    os.environ.clear()
    os.environ.update(before)


def write_recipe(folder: Path, **problem: Any) -> Path:
    settings = {
        "kind": "preference",
        "policy": str(folder / "model"),
        "dataset": str(folder / "data.jsonl"),
        "max_prompt_length": 100,
        "max_response_length": 20,
        "reward_model": None,
    }
    raw = {
        "name": "small",
        "problem": settings | problem,
        "methods": ["base"],
        "budget": {"responses": 8},
        "batch_responses": 4,
        "benchmarks": {"leaderboard": {"tasks": ["leaderboard-v1"]}},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(raw))
    return folder / "small.yaml"


def small_plan(folder: Path, **problem: Any) -> Plan:
    return plan.make(recipe.load(str(write_recipe(folder, **problem))))


@pytest.fixture
def prepared(tmp_path: Path) -> Plan:
    """A plan whose suite is prepared, and a data set of a task in the cache."""
    write_model(tmp_path / "model")
    write_rows(tmp_path / "data.jsonl", scored_rows())
    made = small_plan(tmp_path)
    folder = preparation.folder_of(made)
    registry.problem(made.recipe.problem).prepare(folder, lambda _: None)
    sealed_folder.write(folder)
    table = tmp_path / "hf" / "datasets" / "openai___gsm8k" / "main" / "0.0.0" / "hash"
    table.mkdir(parents=True)
    (table / "gsm8k-test.arrow").write_bytes(b"rows")
    return made


@pytest.fixture
def packed(prepared: Plan, tmp_path: Path) -> Path:
    bundle.make(prepared, tmp_path / "bundle", lambda _: None)
    return tmp_path / "bundle"


def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Become a machine that has only the bundle."""
    shutil.rmtree(folder / "model")
    (folder / "data.jsonl").unlink()
    monkeypatch.setenv("UNA_BENCH_CACHE", str(folder / "other-cache"))
    monkeypatch.setenv("HF_HOME", str(folder / "other-hf"))


def test_a_bundle_lists_every_file_with_its_sum(packed: Path) -> None:
    listed = set(json.loads((packed / "bundle.json").read_text())["files"])
    assert listed == {str(p.relative_to(packed)) for p in packed.rglob("*") if p.is_file()} - {"bundle.json"}


def test_a_bundle_holds_the_data_of_its_tasks(packed: Path) -> None:
    assert (packed / "hf/datasets/openai___gsm8k/main/0.0.0/hash/gsm8k-test.arrow").is_file()


def test_a_bundle_says_what_it_lacks(prepared: Plan, tmp_path: Path) -> None:
    lacking = bundle.make(prepared, tmp_path / "bundle", lambda _: None)
    assert any("cais/mmlu" in line for line in lacking) and not any("gsm8k" in line for line in lacking)


def test_on_another_machine_the_suite_needs_no_preparation(
    packed: Path, prepared: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(tmp_path, monkeypatch)
    used = plan.make(recipe.load(bundle.use(packed, "small")))
    assert sealed_folder.damage(preparation.folder_of(used)) == ""
    assert used.problem_key == prepared.problem_key


def test_a_bundle_points_the_libraries_to_its_data(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(tmp_path, monkeypatch)
    bundle.use(packed, "small")
    assert hub.cached_datasets("openai/gsm8k")


def test_a_bundle_forbids_connections(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    bundle.use(packed, "small")
    assert offline.is_on()


def test_data_on_a_disk_that_cannot_be_written_is_copied(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    bundle.use(packed, "small")
    assert Path(os.environ["HF_HOME"]).is_relative_to(os.environ["UNA_BENCH_CACHE"])


def test_a_damaged_bundle_is_refused(packed: Path) -> None:
    (packed / "prepared" / "prompts.parquet").write_bytes(b"other")
    with pytest.raises(UserError, match=r"prepared/prompts.parquet is damaged or missing"):
        bundle.use(packed, "small")


def test_without_a_suite_the_one_of_the_bundle_is_run(packed: Path) -> None:
    assert bundle.use(packed, "") == bundle.use(packed, "small")


def test_a_bundle_of_another_suite_is_refused(packed: Path) -> None:
    with pytest.raises(UserError, match="has the suite small, not exact"):
        bundle.use(packed, "exact")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a bundle"):
        bundle.use(tmp_path, "small")


def test_a_bundle_is_not_written_over_something_else(prepared: Plan, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="already exists"):
        bundle.make(prepared, tmp_path, lambda _: None)


def test_a_bundle_holds_every_draw_of_the_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"responses": 4, "responses_heldout": 4, "sft_steps": 1, "reward_model": False}
    made = drawn_plan(tmp_path, small)
    for one in draws.of(made):
        registry.problem(one.recipe.problem).prepare(preparation.folder_of(one), lambda _: None)
        sealed_folder.write(preparation.folder_of(one))
    bundle.make(made, tmp_path / "bundle", lambda _: None)
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "other-cache"))
    used = plan.make(recipe.load(bundle.use(tmp_path / "bundle", "small")))
    assert [sealed_folder.damage(preparation.folder_of(one)) for one in draws.of(used)] == ["", ""]
    with pytest.raises(UserError, match=r"--draws 3: --bundle .* has 2\. Create one with --set draws=3\."):
        bundle.require_draws(tmp_path / "bundle", 3)


def drawn_plan(folder: Path, problem: dict[str, Any]) -> Plan:
    path = write_recipe(folder)
    changed = {"problem": {"kind": "exact", **problem}, "draws": 2, "benchmarks": {"memory": {}}}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changed))
    return plan.make(recipe.load(str(path)))


def test_all_that_is_missing_stands_in_one_message_with_its_commands(tmp_path: Path) -> None:
    missing = {
        "policy": "nobody/model",
        "dataset": "nobody/data",
        "heldout": {"source": "nobody/other", "split": "test"},
    }
    with pytest.raises(UserError) as caught:
        missing_inputs.check(small_plan(tmp_path, reward_model={"init": "minilm"}, **missing))
    message = str(caught.value)
    assert all(
        command in message
        for command in (
            "hf download nobody/model",
            "una-bench models add minilm",
            "datasets.load_dataset('nobody/data')",
            "datasets.load_dataset('nobody/other')",
            "una-bench bundle small",
        )
    )


def test_with_a_network_only_what_it_does_not_fetch_by_itself_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    settings = {"policy": "smollm2", "dataset": "nobody/data", "reward_model": {"init": "nobody/model"}}
    with pytest.raises(UserError) as caught:
        missing_inputs.check(small_plan(tmp_path, **settings))
    assert "models add smollm2" in str(caught.value) and "nobody" not in str(caught.value)


def test_a_path_that_does_not_exist_is_told_apart_from_a_hub_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a folder, a file nor a name"):
        missing_inputs.check(small_plan(tmp_path, policy="./lost", dataset="./lost.jsonl"))


def test_nothing_of_a_prepared_suite_is_missing(prepared: Plan, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "model")
    assert not any("policy" in need.what for need in missing_inputs.check(prepared))


def test_tasks_without_data_are_told_but_do_not_stop_a_run(prepared: Plan) -> None:
    assert {need.what for need in missing_inputs.check(prepared)} >= {"data of mmlu: cais/mmlu"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [("TAUR-Lab/MuSR", "TAUR-Lab___mu_sr"), ("TIGER-Lab/MMLU-Pro", "TIGER-Lab___mmlu-pro"), ("squad", "squad")],
)
def test_the_cache_names_folders_as_the_library_does(tmp_path: Path, name: str, folder: str) -> None:
    from datasets.naming import camelcase_to_snakecase

    owner, _, short = name.rpartition("/")
    assert folder == (f"{owner}___" if owner else "") + camelcase_to_snakecase(short)
    path = tmp_path / "hf" / "datasets" / folder
    path.mkdir(parents=True)
    (path / "a.arrow").touch()
    assert hub.cached_datasets(name) == [path]


def test_offline_switches_every_library_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in offline.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    offline.enable()
    assert {os.environ[name] for name in offline.SWITCHES} == {"1"}


def test_what_offline_runs_need_is_found_without_torch() -> None:
    import subprocess
    import sys

    modules = "una_bench.orchestration.missing_inputs, una_bench.orchestration.bundle, una_bench.cli.model_commands"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=COMMITTED)
    assert result.stdout.strip() == "False"


def test_a_run_without_the_data_of_a_task_says_what_becomes_of_it_and_how_to_fetch_it(prepared: Plan) -> None:
    missing = next(need for need in missing_inputs.check(prepared) if need.what == "data of mmlu: cais/mmlu")
    assert missing.note().startswith('Tasks that need data of mmlu: cais/mmlu will show "not run".')
    assert missing.note().endswith(missing.command)


def test_a_misspelled_task_is_told_before_anything_starts(prepared: Plan) -> None:
    recipe_ = prepared.recipe.model_copy(update={"benchmarks": {"leaderboard": {"tasks": ["gsm9k"]}}})
    with pytest.raises(UserError, match=r"lm-eval has no task 'gsm9k'\. Did you mean 'gsm8k'"):
        missing_inputs.check(plan.make(recipe_))


@pytest.mark.parametrize("name", ["gsm8k", "leaderboard_bbh", "mmlu_anatomy", "leaderboard-v2"])
def test_a_task_that_lm_eval_has_is_accepted(name: str) -> None:
    task_names.require_known([name])


def test_a_suites_own_task_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("task: nobody_elses_task\n")
    task_names.require_known(["nobody_elses_task"], [tmp_path])
