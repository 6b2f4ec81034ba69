"""Presets and scales of a recipe file, and that every setting of the paper's suites says where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.reproduction import published_numbers, targets
from una_bench.suite import plan, recipe, recipe_diff

ROOT = Path(__file__).parents[2]
SUITES = ("una-table1", "una-table4")
PRESETS = ("paper", "authors_code", "controlled")
SOURCE = re.compile(r"\s#\s(paper|code|both|ours)\b")


def small(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "mine",
        "problem": {"kind": "exact"},
        "budget": {"responses": 64},
        "batch_responses": 8,
        "benchmarks": {"memory": {}},
        "methods": ["una_score", "una_binary"],
        "settings": {"una_binary": [{"loss_type": "mse"}, {"loss_type": "bce"}]},
        "preset": "text",
        "presets": {"text": {}, "code": {"una_binary.beta": 0.01, "budget.steps": 3}},
        "scales": {"small": {"budget.responses": 16, "beta": 0.2}},
    }
    return {**base, **changes}


def write(folder: Path, raw: dict[str, Any]) -> str:
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return str(path)


def test_the_file_names_the_preset_that_runs_where_none_is_asked_for(tmp_path: Path) -> None:
    assert recipe.load(write(tmp_path, small())).name == "mine-text"


def test_a_preset_changes_every_variant_of_a_method(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, small()), ["preset=code"])
    assert [v["beta"] for v in loaded.settings["una_binary"]] == [0.01, 0.01]


def test_a_preset_s_budget_takes_the_place_of_another_kind(tmp_path: Path) -> None:
    assert recipe.load(write(tmp_path, small()), ["preset=code"]).budget.given() == {"steps": 3}


def test_a_scale_comes_after_the_preset_and_what_is_set_comes_last(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, small()), ["preset=code", "scale=small", "budget.responses=32"])
    assert (loaded.name, loaded.budget.responses, loaded.training["beta"]) == ("mine-code-small", 32, 0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("preset=cod", r"has no preset 'cod'\. Did you mean 'code'\? Choose from: code, text\."),
        ("scale=tiny", r"has no scale 'tiny'\. Choose from: small\."),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        recipe.load(write(tmp_path, small()), [change])


def test_a_suite_without_presets_says_so() -> None:
    with pytest.raises(UserError, match=r"has no preset 'paper'\. It has no presets\."):
        recipe.load("exact", ["preset=paper"])


def test_a_preset_with_a_misspelled_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no key 'settings.una_score.betta'. Did you mean 'beta'\?"):
        recipe.load(write(tmp_path, small(presets={"text": {"una_score.betta": 1.0}})))


def test_presets_that_are_no_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'presets' must contain names"):
        recipe.load(write(tmp_path, small(presets=[1])))


# The suites of the paper.


def leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield scalars, and collections that stand on one line, outside of keys."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for _, value in node.value:
            yield from leaves(value)
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        for value in node.value:
            yield from leaves(value)
    else:
        yield node


@pytest.mark.parametrize("name", SUITES)
def test_every_setting_has_its_source_behind_it(name: str) -> None:
    text = (registry.recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    ends = {node.end_mark.line for node in leaves(yaml.compose(text))}
    assert len(ends) > 60
    assert [lines[i] for i in sorted(ends) if not SOURCE.search(lines[i])] == []


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SUITES)
def test_every_preset_is_a_valid_recipe_in_full_and_small(name: str, preset: str) -> None:
    loaded = [recipe.load(name, [f"preset={preset}", *more]) for more in ([], ["scale=small"])]
    assert [r.name for r in loaded] == [f"{name}-{preset}", f"{name}-{preset}-small"]


def settings(name: str, preset: str, method: str, *, variant: int = 0) -> dict[str, Any]:
    loaded = recipe.load(name, [f"preset={preset}"])
    return recipe.variants(loaded, method)[variant].settings()


PAPER = {  # version 2, lines 588-604
    ("una-table1", "dpo"): {"learning_rate": 5e-6, "beta": 0.03},
    ("una-table1", "kto"): {"learning_rate": 5e-6, "beta": 0.03},
    ("una-table1", "una_binary"): {"learning_rate": 5e-6, "beta": 0.01},
    ("una-table1", "una_score"): {"learning_rate": 3e-5, "beta": 0.03},
    ("una-table4", "ppo"): {"learning_rate": 5e-6, "kl_coef": 0.05},
    ("una-table4", "una_online"): {"learning_rate": 5e-6, "beta": 0.03, "anchor": "reference"},
}


@pytest.mark.parametrize(("name", "method"), PAPER)
def test_the_paper_s_preset_has_the_paper_s_settings(name: str, method: str) -> None:
    assert PAPER[name, method].items() <= settings(name, "paper", method).items()


CODE = {
    ("una-table1", "dpo"): {"batch_responses": 16},
    ("una-table1", "kto"): {"batch_responses": None, "learning_rate": 5e-6},
    ("una-table1", "una_binary"): {"reduction": "sum"},
    ("una-table1", "una_score"): {"reduction": "sum", "per_device_train_batch_size": 1, "learning_rate": 3e-5},
    ("una-table4", "una_online"): {"anchor": "rollout", "reduction": "sum", "missing_eos_penalty": 1.0, "beta": 3.0},
    ("una-table4", "ppo"): {"learning_rate": 3e-6, "kl_coef": 0.05, "missing_eos_penalty": 1.0},
}


@pytest.mark.parametrize(("name", "method"), CODE)
def test_the_code_s_preset_has_the_code_s_settings(name: str, method: str) -> None:
    assert CODE[name, method].items() <= settings(name, "authors_code", method).items()


def test_the_code_doubles_the_first_token_for_dpo_and_una_and_the_end_token_for_una() -> None:
    doubled = [recipe.load("una-table1", [f"preset={p}"]).problem.get("doubled_ends", {}) for p in PRESETS]
    both = ("bos", "eos")
    code = {"dpo": ("bos",), "una_binary": both, "una_score": both}
    assert [{name: tuple(ends) for name, ends in each.items()} for each in doubled] == [{}, code, {}]


def test_the_code_keeps_ties_and_the_controlled_preset_does_not() -> None:
    ties = [recipe.load("una-table1", [f"preset={p}"]).problem["ties"] for p in PRESETS]
    assert ties == ["keep", "keep", "leave_out"]


def test_the_controlled_preset_gives_every_offline_method_the_same_rate_and_beta() -> None:
    loaded = recipe.load("una-table1", ["preset=controlled"])
    built = [m for name in loaded.methods if name != "base" for m in recipe.variants(loaded, name)]
    assert {(m.learning_rate, m.settings()["beta"], m.batch_responses) for m in built} == {(3e-5, 0.03, None)}


def test_the_code_s_online_runs_are_three() -> None:
    loaded = recipe.load("una-table4", ["preset=authors_code"])
    assert [m.settings()["beta"] for m in recipe.variants(loaded, "una_online")] == [3.0, 1.0, 0.3]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SUITES)
def test_every_published_row_stands_for_a_cell_of_the_suite(name: str, preset: str) -> None:
    chosen = recipe.choose(name, [f"preset={preset}"])
    aim, published = targets.target(chosen.reproduces, name), published_numbers.load()
    rows = {row.row for table in aim.tables for row in published.table(table).rows}
    cells = plan.make(recipe.validate(chosen.raw, name)).cells
    for row in rows:
        wanted = {k: v for k, v in aim.rows[row].items() if k != "method"}
        assert any(c.method == aim.rows[row]["method"] and wanted.items() <= c.settings.items() for c in cells), row


def test_new_settings_with_defaults_change_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, small())
    before = plan.make(recipe.load(path), ["dpo"])

    class Dpo(registry.method("dpo")):  # type: ignore[misc]
        new: int = 3

    class Exact(registry.problem_type("exact")):  # type: ignore[misc]
        new: int = 3

    monkeypatch.setattr(registry, "method", lambda name, method=registry.method: Dpo if name == "dpo" else method(name))
    monkeypatch.setattr(registry, "problem_type", lambda kind: Exact)
    after = plan.make(recipe.load(path), ["dpo"])
    assert after.cells[-1].settings["new"] == after.recipe.problem["new"] == 3
    assert (after.key, after.problem_key) == (before.key, before.problem_key)
    assert [c.key for c in after.cells] == [c.key for c in before.cells]


def test_a_default_that_is_written_out_is_the_same_problem(tmp_path: Path) -> None:
    path = write(tmp_path, small())
    made = [
        plan.make(recipe.load(path, more)) for more in ([], ["problem.label_noise=0.0"], ["problem.label_noise=0.1"])
    ]
    assert made[0].problem_key == made[1].problem_key != made[2].problem_key


def test_a_setting_that_is_used_does_change_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, small())
    keys = [{c.key for c in plan.make(recipe.load(path, more)).cells} for more in ([], ["warmup_ratio=0.5"])]
    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], []),
        (["device=cpu", "seeds=[7]", "workers=2", "benchmarks.leaderboard.batch_size=2"], []),
        (["problem.policy=somewhere/Mistral-7B-v0.1"], []),
        (["problem.policy=somewhere/Other"], ["problem.policy"]),
        (["budget.responses=8"], ["budget.responses"]),
        (["benchmarks.leaderboard.limit=4"], ["benchmarks.leaderboard.limit"]),
    ],
)
def test_what_was_changed_of_a_preset_is_named(changes: list[str], expected: list[str]) -> None:
    assert recipe_diff.changed(recipe.load("una-table1", changes), recipe.load("una-table1")) == expected
