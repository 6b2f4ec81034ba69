"""Validation data of every kind of problem: held back from training, apart from what the table reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from generated_problem import prepared_with as prepared_generated
from small_problem import prepared_with as prepared_preference

from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.prepared import Prepared
from una_bench.suite import plan as plans
from una_bench.suite import recipe as recipes

SPLITS = ("train", "heldout", "validation")
EXACT = {"kind": "exact", "responses": 256, "responses_heldout": 64, "sft_steps": 2, "reward_model": False}


def prepared_exact(folder: Path, **changed: Any) -> Prepared:
    registry.problem(EXACT | changed).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")


@pytest.fixture(scope="module", params=["exact", "preference", "generated"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "exact":
        return prepared_exact(folder, validation_prompts=8)
    if request.param == "preference":
        return prepared_preference(folder, validation_share=0.25)
    return prepared_generated(folder, validation_prompts=2)


def prompts(prepared: Prepared, split: str) -> set[str]:
    return set(prepared.prompts(split).prompt)


def test_no_prompt_is_in_two_splits(prepared: Prepared) -> None:
    sizes = [len(prompts(prepared, split)) for split in SPLITS]
    assert min(sizes) > 1
    assert len(set().union(*(prompts(prepared, split) for split in SPLITS))) == sum(sizes)


def test_no_validation_or_test_prompt_is_trained_on(prepared: Prepared) -> None:
    trained = set(prepared.responses().prompt)
    assert trained <= prompts(prepared, "train")
    assert not trained & (prompts(prepared, "heldout") | prompts(prepared, "validation"))


def test_the_manifest_counts_validation_prompts(prepared: Prepared) -> None:
    assert prepared.manifest["counts"]["prompts_validation"] == len(prompts(prepared, "validation"))


def test_held_out_prompts_are_the_same_with_and_without_validation(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    both = [
        prepared_preference(tmp_path / "with", validation_share=0.25),
        prepared_preference(tmp_path / "without"),
    ]
    assert prompts(both[0], "heldout") == prompts(both[1], "heldout")
    assert prompts(both[0], "train") | prompts(both[0], "validation") == prompts(both[1], "train")


@pytest.mark.parametrize("kind", ["exact", "preference", "generated"])
def test_tuning_holds_validation_data_back(kind: str) -> None:
    [(name, value)] = registry.problem_type(kind).validation.items()
    assert registry.problem_type(kind).model_fields[name].default == 0 < value


def test_a_problem_without_validation_data_has_the_key_that_it_had() -> None:
    plain, tuned = recipes.load("exact"), recipes.load("exact", ["tune.trials=4"])
    keys = [plans.make(recipe, ["dpo"], device="cpu").problem_key for recipe in (plain, tuned)]
    assert keys[0] != keys[1]
    assert "validation_prompts" not in plans.identity_of(plain)["problem"]


@pytest.mark.parametrize("kind", ["preference", "exact", "generated"])
def test_the_untrained_policy_is_measured_on_validation_data_as_one_without_gain(kind: str, tmp_path: Path) -> None:
    if kind == "exact":
        made, name, metric = prepared_exact(tmp_path, validation_prompts=8), "oracle", "oracle.regret"
    elif kind == "preference":
        made, name, metric = prepared_preference(tmp_path, validation_share=0.25), "preference", "preference.accuracy"
    else:
        made, name, metric = prepared_generated(tmp_path, validation_prompts=2), "optimum", "oracle.objective"
    benchmark = registry.benchmark(name)()
    assert f"{metric}.validation" in benchmark.chooses
    measured = {m.metric: m for m in benchmark.evaluate(Checkpoint(path=made.policy, prepared=made, out=tmp_path))}
    without_kl = measured.get("oracle.reward.validation")
    expected = {"oracle.regret": 1.0, "preference.accuracy": 0.5, "oracle.objective": without_kl and without_kl.value}
    assert measured[f"{metric}.validation"].value == pytest.approx(expected[metric], abs=1e-9)
