"""Recipes: what is refused, with which words, and what is written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.suite import overrides, plan, recipe, yaml_values


def small(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "problem": {"kind": "exact"},
        "budget": {"responses": 64},
        "batch_responses": 8,
        "benchmarks": {"memory": {}},
        "methods": ["dpo", "una"],
    }
    return {**base, **changes}


def write(path: Path, raw: object) -> str:
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", registry.suite_names())
def test_every_suite_that_comes_along_is_valid_and_written_out_whole(name: str, tmp_path: Path) -> None:
    loaded = recipe.load(name)
    again = recipe.load(write(tmp_path / "again.yaml", yaml.safe_load(recipe.dump(loaded))))
    assert again == loaded


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", small())
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("\nbatch_responses: 8\nbatch_responses: 16\n")
    with pytest.raises(UserError, match="the key 'batch_responses' is given twice in the mapping"):
        recipe.load(path)


def test_a_key_that_overrides_a_merged_one_is_not_given_twice() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n"
    assert yaml_values.load(text)["c"] == {"x": 3, "y": 4}


def test_a_time_is_not_read_as_a_number_to_base_60(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", small())
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("\nslurm: {time: 1:00:00}\n")
    with pytest.raises(UserError, match=r"'slurm\.time' is '1:00:00': give whole minutes"):
        recipe.load(path)


def test_yaml_tags_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        recipe.load(path)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("budget.responses=128", lambda r: r.budget.responses == 128),
        ("beta=0.25", lambda r: r.training["beta"] == 0.25),
        ("una-score.offset=learned", lambda r: r.settings["una_score"][0]["offset"] == "learned"),
        ("settings.dpo.beta=0.125", lambda r: r.settings["dpo"][0]["beta"] == 0.125),
        ("seeds=[4]", lambda r: r.seeds == (4,)),
    ],
)
def test_set_reaches_the_key_that_a_user_means(override: str, value, tmp_path: Path) -> None:
    assert value(recipe.load(write(tmp_path / "r.yaml", small()), [override]))


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("benchmarks.memory=null", lambda r: r.benchmarks == {}),
        ("methods.dpo=null", lambda r: r.methods == ("una_binary", "una_online", "una_pairwise", "una_score")),
        ("methods.una=null", lambda r: r.methods == ("dpo",)),
        ("settings.dpo=null", lambda r: r.settings == {}),
        ("dpo=null", lambda r: r.settings == {}),
        ("dpo.beta=null", lambda r: r.settings["dpo"] == ({"loss_type": "ipo"},)),
        ("training.beta=null", lambda r: r.training == {"warmup_ratio": 0.5}),
        ("beta=null", lambda r: r.training == {"warmup_ratio": 0.5}),
    ],
)
def test_null_takes_a_key_out_of_a_mapping(override: str, value, tmp_path: Path) -> None:
    raw = small(training={"beta": 0.5, "warmup_ratio": 0.5}, settings={"dpo": {"beta": 0.1, "loss_type": "ipo"}})
    assert value(recipe.load(write(tmp_path / "r.yaml", raw), [override]))


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("warmup_ratio=null", lambda r: r.training == {"warmup_ratio": None}),
        ("lora=null", lambda r: r.lora is None),
        (
            "una_score.per_device_train_batch_size=null",
            lambda r: "per_device_train_batch_size" in r.settings["una_score"][0],
        ),
        ("benchmarks.leaderboard.limit=null", lambda r: r.benchmarks["leaderboard"] == {"limit": None}),
    ],
)
def test_null_stays_null_where_a_setting_may_be_that(override: str, value, tmp_path: Path) -> None:
    raw = small(training={"warmup_ratio": 0.5}, lora={"r": 4})
    assert value(recipe.load(write(tmp_path / "r.yaml", raw), [override]))


def test_the_same_recipe_and_seeds_give_the_same_plan(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", small())
    assert plan.make(recipe.load(path)) == plan.make(recipe.load(path))


def test_a_changed_budget_changes_every_key(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", small())
    before, after = plan.make(recipe.load(path)), plan.make(recipe.load(path, ["budget.responses=128"]))
    assert not {c.key for c in before.cells} & {c.key for c in after.cells}


def test_adding_methods_or_seeds_keeps_the_folder_and_the_keys(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path / "r.yaml", small()))
    few, many = plan.make(loaded, ["dpo"], [0]), plan.make(loaded, ["all"], [0, 1])
    assert few.key == many.key
    assert {c.key for c in few.cells} <= {c.key for c in many.cells}


def test_the_untrained_policy_is_always_a_row(tmp_path: Path) -> None:
    cells = plan.make(recipe.load(write(tmp_path / "r.yaml", small())), ["dpo"], [3]).cells
    assert [c.name for c in cells] == ["base-s3", "dpo-s3"]


def test_variants_have_names_that_tell_them_apart(tmp_path: Path) -> None:
    raw = small(settings={"una_binary": [{"loss_type": "mse"}, {"loss_type": "bce"}]})
    cells = plan.make(recipe.load(write(tmp_path / "r.yaml", raw)), ["una_binary"], [0]).cells
    assert [c.name for c in cells][1:] == ["una_binary[loss_type=mse]-s0", "una_binary[loss_type=bce]-s0"]


@pytest.mark.parametrize("name", ["una-score", "UNA_Score", " una score "])
def test_names_are_forgiving(name: str) -> None:
    assert registry.expand_methods([name]) == ["una_score"]


def test_a_group_is_every_method_of_that_family() -> None:
    assert registry.expand_methods(["una"]) == ["una_binary", "una_online", "una_pairwise", "una_score"]


def test_groups_are_by_what_methods_learn_from() -> None:
    groups = registry.groups()
    assert {"ppo", "grpo", "rloo", "online_dpo", "rebel", "una_online"} <= set(groups["online"])
    assert {"dpo", "kto", "ipo", "bco", "orpo", "simpo", "sft_chosen", "una_score"} <= set(groups["offline"])
    assert {"qrpo", "rebel", "una_binary", "una_online", "una_score"} == set(groups["regression"])
    assert {*groups["online"], *groups["offline"], "base"} == set(groups["all"])
    assert not set(groups["online"]) & set(groups["offline"])


def test_the_default_run_stays_what_it_was() -> None:
    assert recipe.load("exact").methods == tuple(registry.expand_methods(["base", "ppo", "dpo", "kto", "una"]))


def test_a_bare_setting_is_for_every_method() -> None:
    loaded = recipe.load("preference", ["learning_rate=1e-3"])
    rates = {name: [v.learning_rate for v in recipe.variants(loaded, name)] for name in loaded.methods}
    assert set(map(tuple, rates.values())) == {(1e-3,)}


def test_a_bare_setting_leaves_variants_that_are_compared_by_it() -> None:
    raw = {"settings": {"dpo": [{"beta": 0.1}, {"beta": 0.2}], "kto": [{"beta": 0.3}]}}
    overrides.apply(raw, [("beta", 0.5)], ("settings", "training"))
    assert raw == {"settings": {"dpo": [{"beta": 0.1}, {"beta": 0.2}], "kto": [{}]}, "training": {"beta": 0.5}}
