"""Settings of tuning: the block ``tune`` of a recipe, and the option ``--tune``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from una_bench.errors import UserError, nearest
from una_bench.interfaces import registry
from una_bench.interfaces.problem import Problem
from una_bench.interfaces.search_space import Range
from una_bench.record.schema import Better

FIRST_SEED = 10_000
"""Trials train with seeds from here on, so that the winners' seeds are new ones."""
MOST_TRIALS = 1000
SPLIT = "validation"


class Tune(BaseModel):
    """Search of every method's settings with the same number of trials; null: no tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    trials: int = Field(default=8, ge=2, le=MOST_TRIALS)
    """Trials of each method and variant, each with settings drawn at random."""
    seeds: int = Field(default=1, ge=1, le=MOST_TRIALS)
    """Trainings of each trial, each with a seed of its own."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draws."""
    metric: str = ""
    """Metric on validation data that chooses; empty: the first that the suite's benchmarks offer."""
    budget_share: float = Field(default=1.0, gt=0, le=1)
    """Budget of a trial as a share of the suite's."""
    space: dict[str, dict[str, tuple[float, float]]] = {}
    """Method -> setting -> lowest and highest value, on a log scale; other settings have the method's own ranges."""

    @field_validator("space")
    @classmethod
    def _ranges(cls, space: dict[str, dict[str, tuple[float, float]]]) -> dict[str, dict[str, tuple[float, float]]]:
        for name, ranges in space.items():
            for setting, ends in ranges.items():
                try:
                    Range(*ends)
                except ValueError as error:
                    raise ValueError(f"{name}.{setting}: {error}") from None
        return {registry.canonical(name): ranges for name, ranges in space.items()}


def changes(option: str) -> list[tuple[str, str]]:
    """Return ``--tune trials=8,seeds=2`` as changes to a recipe.

    Raises:
        UserError: A part is no ``key=value``, or there is no such key.
    """
    pairs = []
    for part in option.split(",") if option else ():
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise UserError(f"--tune {option}: write key=value, for example --tune trials=8.")
        if key not in Tune.model_fields or key == "space":
            hint = " Write --set tune.space.METHOD.SETTING=[LOW,HIGH]." if key == "space" else ""
            keys = [name for name in Tune.model_fields if name != "space"]
            raise UserError(
                f"--tune {part}: there is no key '{key}'.{hint or nearest(key, keys)} Choose from: {', '.join(keys)}."
            )
        pairs.append((f"tune.{key}", value))
    return pairs


def metrics(benchmarks: Iterable[str]) -> dict[str, Better]:
    """Return the metrics on validation data of a suite's benchmarks, with the better direction."""
    return {name: better for b in benchmarks for name, better in registry.benchmark(b).chooses.items()}


def check_metric(tune: Tune, benchmarks: Mapping[str, Any], source: str) -> str:
    """Return the metric that chooses.

    Raises:
        UserError: The suite does not measure it, or the table reports its split.
    """
    choices = metrics(benchmarks)
    if not choices:
        offering = [name for name in registry.benchmark_names() if registry.benchmark(name).chooses]
        raise UserError(
            f"{source}: none of the benchmarks {', '.join(benchmarks)} measures validation data, so that nothing can "
            f"be chosen by it. Add one of: {', '.join(offering)}."
        )
    name = tune.metric or next(iter(choices))
    if name not in choices:
        reported = name.rpartition(".")[2] in {"train", "heldout"} or name.startswith("task.")
        why = (
            "is reported in the table, and choosing by it would favor what happened to fit"
            if reported
            else "is not measured on validation data by this suite"
        )
        raise UserError(
            f"{source}: tune.metric={name} {why}.{nearest(name, choices)} Choose from: {', '.join(choices)}."
        )
    return name


def with_validation(kind: type[Problem], settings: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the settings of a problem that holds validation data back.

    Raises:
        UserError: Its kind has no validation data, or the recipe switches it off.
    """
    if not kind.validation:
        raise UserError(
            f"{source}: problems of kind {settings.get('kind')} hold no validation data back, so methods cannot be "
            "tuned on them. Leave out tune."
        )
    for name in kind.validation:
        if name in settings and not settings[name]:
            raise UserError(
                f"{source}: tuning needs validation data, but problem.{name} is {settings[name]}. Raise it; for a "
                "bundle, when you create it."
            )
    return {**kind.validation, **settings}


def check_methods(tune: Tune, methods: Sequence[str], seeds: Sequence[int], source: str) -> None:
    """Refuse a space for a method that is not run, and seeds that the trials use."""
    for name in tune.space:
        if name not in methods:
            raise UserError(
                f"{source}: tune.space has ranges for '{name}', which is not run.{nearest(name, methods)} Methods of "
                f"this run: {', '.join(methods)}."
            )
    used = [seed for seed in seeds if FIRST_SEED <= seed < FIRST_SEED + tune.seeds * MOST_TRIALS]
    if used:
        raise UserError(f"{source}: seed {used[0]} is one of the trials' ({FIRST_SEED} and up). Choose seeds below.")
