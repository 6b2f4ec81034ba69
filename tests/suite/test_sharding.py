"""Sharded states in a recipe: the user's file, keys, refusals, and what each process will hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from una_bench.errors import UserError
from una_bench.suite import plan, recipe, requirements, sharding, sharding_file

ZERO3 = {"zero_optimization": {"stage": 3}}


def keys(*changes: str) -> list[str]:
    return [cell.key for cell in plan.make(recipe.load("ci", ["processes=2", *changes]), ["dpo"]).cells]


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))
    return path


def test_whole_states_are_part_of_no_key() -> None:
    assert keys() == keys("sharding=none")
    assert len({keys(f"sharding={name}")[1] for name in ("none", "zero2", "zero3", "fsdp2")}) == 4


def test_the_content_of_a_file_is_part_of_the_key_and_its_name_is_not(tmp_path: Path) -> None:
    one, same = written(tmp_path / "one.json", ZERO3), written(tmp_path / "two.yaml", ZERO3)
    other = written(tmp_path / "other.json", {"zero_optimization": {"stage": 2}})
    assert keys(f"sharding={one}") == keys(f"sharding={same}") != keys(f"sharding={other}")


def test_a_recipe_with_a_file_can_be_read_without_it(tmp_path: Path) -> None:
    file = written(tmp_path / "ds.json", ZERO3)
    loaded = recipe.load("ci", ["processes=2", f"sharding={file}"])
    file.unlink()
    assert recipe.validate(yaml.safe_load(recipe.dump(loaded)), "recipe.yaml").sharding == ZERO3


def test_an_accelerate_file_means_what_deepspeeds_own_means(tmp_path: Path) -> None:
    config = {"zero_stage": 3, "offload_param_device": "cpu", "gradient_accumulation_steps": 1, "zero3_init_flag": True}
    file = written(tmp_path / "a.yaml", {"distributed_type": "DEEPSPEED", "deepspeed_config": config})
    assert sharding_file.content(str(file)) == {"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}


def test_what_the_recipe_decides_may_be_auto_in_a_file() -> None:
    given = {"train_batch_size": "auto", "bf16": {"enabled": False}, "optimizer": "auto"}
    assert sharding_file.content(ZERO3 | given) == ZERO3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ZERO3 | {"optimizer": {"type": "Adam"}}, "'optimizer' is decided by the settings of each method"),
        (ZERO3 | {"bf16": {"enabled": True}}, "'bf16' is decided by precision"),
        ({"zero_optimization": {"stage": 0}}, "stage 1, 2 or 3"),
        ({"train_batch_size": "auto"}, "stage 1, 2 or 3"),
        ({"distributed_type": "MULTI_GPU"}, "MULTI_GPU, which divides no states"),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 1}}, "fsdp_version: 2"),
        ({"distributed_type": "FSDP", "mixed_precision": "bf16"}, "'mixed_precision' is decided by precision"),
        ({"distributed_type": "DEEPSPEED", "num_machines": 2}, "'num_machines' must be 1"),
        ({"distributed_type": "DEEPSPEED", "deepspeed_config": {"gradient_clipping": 1.0}}, "decided by max_grad_norm"),
        ({"distributed_type": "DEEPSPEED", "deepspeed_config": {"x": 1}}, "'x', which is not supported"),
        ([], "a file in DeepSpeed's or accelerate's format"),
    ],
)
def test_a_file_that_would_change_the_training_is_refused(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sharding_file.content(content)


def test_fsdp2_is_refused_on_processors() -> None:
    with pytest.raises(UserError, match="sharding=fsdp2 needs accelerators"):
        sharding.require_machine(recipe.load("ci", ["processes=2", "sharding=fsdp2"]), "cpu")


def test_zero_is_refused_without_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'una-bench\[deepspeed\]'"):
        sharding.require_machine(recipe.load("ci", ["processes=2", "sharding=zero2"]), "cpu")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("none", 1 + 1 + 2),  # weights, gradients, Adam's two moments
        ("zero2", 1 + (1 + 1 + 2) / 2),  # DeepSpeed updates a copy of the weights
        ("zero3", (1 + 1 + 1 + 2) / 2),
        ("fsdp2", (1 + 1 + 2) / 2),
    ],
)
def test_each_process_holds_its_share(name: str, numbers: float) -> None:
    planned = plan.make(recipe.load("ci", ["processes=2", f"sharding={name}"]), ["una_score"])
    required = requirements.of(planned)
    assert required is not None
    assert required.state_bytes(planned.cells[-1]) == 4 * numbers * required.policy
