"""Settings with a closed set of values: each value is accepted, and a misspelling refused with the nearest, at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.suite import recipe
from una_bench.suite.recipe import Recipe

SUITES = {"exact": "exact", "preference": "smollm2"}


def choices(annotation: Any) -> list[str]:
    """Words that an annotation allows, and none where it allows any."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(value.value) for value in annotation]
    if str in get_args(annotation):
        return []
    return [word for part in get_args(annotation) for word in choices(part)]


def closed(model: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    """Dotted name and values of every closed set, in nested settings too."""
    for name, field in model.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from ((f"{name}.{inner}", values) for inner, values in closed(part))
        if values := choices(field.annotation):
            yield name, values


METHODS, BENCHMARKS = registry.method_names(), registry.benchmark_names()
CASES = [
    *(("exact", f"{name}.{key}", values) for name in METHODS for key, values in closed(registry.method(name))),
    *(
        ("exact", f"benchmarks.{name}.{key}", values)
        for name in BENCHMARKS
        for key, values in closed(registry.benchmark(name))
    ),
    *(
        (suite, f"problem.{key}", values)
        for kind, suite in SUITES.items()
        for key, values in closed(registry.problem_type(kind))
        if key != "kind"
    ),
    *(("exact", key, values) for key, values in closed(Recipe)),
]


def test_closed_sets_of_methods_benchmarks_problems_and_recipes_are_met() -> None:
    names = {key for _, key, _ in CASES}
    assert {"una_score.offset", "una_online.space", "ppo.kl_estimator", "dpo.loss_type"} <= names
    assert {"benchmarks.leaderboard.precision", "problem.variant", "problem.reward_model.reads", "device"} <= names


@pytest.mark.parametrize(("suite", "key", "values"), CASES, ids=[key for _, key, _ in CASES])
def test_a_misspelled_choice_is_refused_with_the_nearest(suite: str, key: str, values: list[str]) -> None:
    value = max(values, key=len)
    typo = value[:-1] + ("x" if value[-1] != "x" else "y")
    with pytest.raises(UserError, match=re.escape(f"'{typo}'")) as refused:
        recipe.load(suite, [f"{key}={typo}"])
    assert all(choice in str(refused.value) for choice in values)
    if len(value) > 3:
        assert "Did you mean" in str(refused.value)


@pytest.mark.parametrize(("suite", "key", "values"), CASES, ids=[key for _, key, _ in CASES])
def test_every_choice_is_accepted(suite: str, key: str, values: list[str]) -> None:
    needs = {
        "problem.reward_model.reads": ["problem.reward_model={name: m}"],
        "benchmarks.judge.kinds": ["benchmarks.judge.judge=local", "benchmarks.judge.model=m"],
    }
    for value in values:
        recipe.load(suite, [*needs.get(key, []), f"{key}={value}"])


def test_losses_of_dpo_are_those_of_the_trl_that_is_installed() -> None:
    import inspect

    from trl import DPOTrainer

    known = set(re.findall(r'loss_type == "(\w+)"', inspect.getsource(DPOTrainer)))
    assert known == set(choices(registry.method("dpo").model_fields["loss_type"].annotation))


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("una_score.offset=lerned", "learned"),
        ("una_score.loss_type=mee", "mse"),
        ("una_online.space=rewrd", "reward"),
        ("dpo.loss_type=sigmod", "sigmoid"),
    ],
)
def test_the_nearest_choice_is_named(setting: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{nearest}'"):
        recipe.load("exact", [setting])


def test_a_word_that_yaml_takes_for_a_switch_is_the_word() -> None:
    assert recipe.load("exact", ["reward=true"]).reward == "true"


@pytest.mark.parametrize(
    "text", ["data/set #3/x.jsonl", "C: drive/x.jsonl", "#odd", "1.50", "007", "a: b: c", "2024-01-01"]
)
def test_text_is_taken_as_it_stands(text: str) -> None:
    assert recipe.load("smollm2", [f"problem.policy_revision={text}"]).problem["policy_revision"] == text


def test_a_number_is_read_however_it_is_written() -> None:
    assert recipe.load("exact", ["budget.responses=08192"]).budget.responses == 8192
