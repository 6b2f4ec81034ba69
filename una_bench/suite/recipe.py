"""Recipe of a suite: a validated YAML file with every default written out."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from una_bench.errors import UserError, expected, nearest
from una_bench.interfaces import registry
from una_bench.interfaces.method import Lora, Method
from una_bench.interfaces.sharding import NONE
from una_bench.suite import overrides, presets, sharding_file, tune_settings, yaml_values
from una_bench.suite.slurm_settings import Slurm
from una_bench.suite.tune_settings import Tune

SCHEMA = 1
MOST_BYTES, MOST_VALUES = 2**20, 10_000
"""Largest size of a recipe; YAML aliases can expand a small file to any size."""
MOST_DRAWS = 1000
MOST_SEED = 2**32 - 1
"""NumPy's largest seed."""
NAME = re.compile(r"[^\W_][\w .-]{0,99}")
"""A name becomes part of a path, so it must not contain separators."""


class Budget(BaseModel):
    """Training budget of every method, exactly one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    responses: int | None = Field(default=None, gt=0)
    """Responses trained on, including repetitions."""
    steps: int | None = Field(default=None, gt=0)
    """Optimizer steps."""
    tokens: int | None = Field(default=None, gt=0)
    """Tokens trained on, prompt and response, including repetitions, excluding padding."""
    flops: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Floating-point operations of all passes of all models."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds of training, excluding evaluations."""
    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Passes over the data: so many responses for every method, counted when the data is prepared."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if len(self.given()) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer
    def given(self) -> dict[str, float]:
        """Return the given budget."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class Recipe(BaseModel):
    """One suite: problem, methods, budget and benchmarks."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_number: int = Field(default=SCHEMA, alias="schema")
    """Format of this file."""
    name: str
    """Name of the suite, in tables and in the folder of a run."""
    about: str = ""
    """One line for ``una-bench list``."""
    problem: dict[str, Any]
    """Kind (``kind``) and settings of the problem: model, data and reward."""
    methods: tuple[str, ...] = ("all",)
    """Default methods."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training, one cell of each method a seed; several give intervals."""
    draws: int = Field(default=1, ge=1, le=MOST_DRAWS)
    """Draws of the problem, each with all methods and seeds: draw k adds k to the seeds of the problem."""
    training: dict[str, Any] = {}
    """Settings of all methods that have a field of that name."""
    settings: dict[str, tuple[dict[str, Any], ...]] = {}
    """Method -> variants, each with settings that override ``training``."""
    budget: Budget
    """Training budget of every method, exactly one of epochs, responses, steps, tokens, flops and seconds."""
    batch_responses: int = Field(gt=0)
    """Responses behind one optimizer step (a pair is two)."""
    reward: Literal["learned", "true"] = "learned"
    """Reward of generated responses: the reward model, or the ``true`` reward if the problem has one."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of generated responses."""
    benchmarks: dict[str, dict[str, Any]]
    """What is measured -> its settings."""
    evaluate_points: int = Field(default=0, ge=0)
    """Number of evaluations during training."""
    lora: Lora | None = None
    """Adapters on the policy; null: all weights are trained."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of matrix products, with float32 weights; ``auto`` is bfloat16 if the device is faster with it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` is ``cuda`` if there is a GPU; CUDA_VISIBLE_DEVICES selects among several."""
    threads: int = Field(default=1, gt=0)
    """Processor threads of one cell, or of each of its ``processes``."""
    processes: int = Field(default=1, gt=0)
    """Processes that train one cell together, each on a card or on ``threads`` cores; they divide its batches."""
    sharding: str | dict[str, Any] = NONE
    """States that a cell's ``processes`` divide: ``none``, ``zero2`` (gradients and optimizer), ``zero3`` or ``fsdp2``
    (weights, too), or a file in DeepSpeed's or accelerate's format, whose content takes its place."""
    workers: int | Literal["auto"] = 1
    """Cells that train at the same time, at most one a card, or cores / ``threads``; ``auto``: as many as that."""
    timeout_minutes: float = Field(default=60.0, gt=0)
    """Time after which a cell is stopped and recorded as ``timeout``."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Interval at which a training saves its state for resuming."""
    slurm: Slurm | None = None
    """What jobs ask of a cluster, with --executor slurm."""
    tune: Tune | None = None
    """Search of every method's settings with the same number of trials; null: no tuning."""
    expected: dict[str, dict[str, float]] = {}
    """Method -> measured ``seconds`` and ``peak_bytes`` of one cell, for --dry-run."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("give at least one seed, all distinct and not negative")
        if max(seeds) > MOST_SEED:
            raise ValueError(f"seeds must not be above {MOST_SEED}")
        return seeds

    @field_validator("draws", mode="before")
    @classmethod
    def _whole(cls, draws: Any) -> Any:
        if isinstance(draws, bool):
            raise ValueError(f"give a whole number from 1 to {MOST_DRAWS}")
        return draws

    @field_validator("sharding", mode="before")
    @classmethod
    def _name_or_content(cls, value: Any) -> Any:
        return sharding_file.content(value)

    @field_validator("workers", mode="before")
    @classmethod
    def _auto_or_positive(cls, workers: Any) -> Any:
        if workers != "auto" and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
            hint = nearest(str(workers), ["auto"])
            raise ValueError(f"no number of cells.{hint} Give auto or a whole number above 0")
        return workers

    @property
    def at_once(self) -> int:
        """Return ``workers`` of a recipe whose ``auto`` is resolved."""
        assert self.workers != "auto"
        return self.workers

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("use only letters, digits, spaces and . _ -, and begin with a letter or digit")
        return name


def load(name: str, changes: Sequence[str | overrides.Change] = ()) -> Recipe:
    """Read a suite by name or file, apply preset, scale and ``key=value`` changes, and validate it."""
    chosen = choose(name, changes)
    return validate(chosen.raw, chosen.source)


def choose(name: str, changes: Sequence[str | overrides.Change] = ()) -> presets.Chosen:
    """Read a suite and apply preset, scale and changes (``key=value``, or key and value), without validating it."""
    path = _find(name)
    raw = _read(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} must contain keys and values. `una-bench show exact` prints an example.")
    raw.setdefault("name", path.stem)
    keys = {f.alias or n for n, f in Recipe.model_fields.items()}
    parsed = [overrides.parse(change) if isinstance(change, str) else change for change in changes]
    return presets.choose(raw, parsed, keys, str(path))


def _read(path: Path) -> Any:
    """Return the plain data of a YAML file, within limits of size and depth."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} has more than {MOST_BYTES} bytes; a recipe has a few thousand. Give another file.")
        raw = yaml_values.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a readable file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply. `una-bench show exact` prints an example.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {reason}. Text with special characters needs quotes.") from None
    unvisited, count = [raw], 0
    while unvisited:
        value, count = unvisited.pop(), count + 1
        if count > MOST_VALUES:
            raise UserError(
                f"{path} expands to more than {MOST_VALUES} values; a recipe has about a hundred. Remove YAML aliases."
            )
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        unvisited.extend(inner if isinstance(inner, list) else ())
    return raw


def _find(name: str) -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if path.is_file():
            return path
        raise UserError(f"There is no recipe file {name}. `una-bench list` shows the built-in suites.")
    suite = registry.canonical(name).replace("_", "-")
    suites = registry.suite_names()
    if suite not in suites:
        raise UserError(
            f"There is no suite '{name}'.{nearest(suite, suites)} Choose from: {', '.join(suites)}, or give a file."
        )
    return next(p for p in registry.recipe_folder().glob("*.yaml") if p.stem.replace("_", "-") == suite)


def validate(raw: Mapping[str, Any], source: str) -> Recipe:
    """Validate a recipe with its problem, methods and benchmarks, and fill in the problem's defaults."""
    raw = dict(raw)
    number = raw.get("schema", SCHEMA)
    if isinstance(number, int) and number > SCHEMA:
        raise UserError(f"{source} has schema {number}; this una-bench reads up to {SCHEMA}. Upgrade una-bench.")
    if isinstance(raw.get("settings"), dict):
        raw["settings"] = {
            registry.canonical(str(k)): v if isinstance(v, list | tuple) else [v] for k, v in raw["settings"].items()
        }
    recipe = checked_settings(Recipe, raw, source, "")
    kind = str(recipe.problem.get("kind", ""))
    kind_of_problem, given = registry.problem_type(kind), recipe.problem
    if recipe.tune:
        given = tune_settings.with_validation(kind_of_problem, given, source)
    problem = checked_settings(kind_of_problem, given, source, "problem.")
    if recipe.draws > 1 and recipe.tune:
        raise UserError(
            f"{source}: 'draws' is {recipe.draws} and there is 'tune': methods are tuned on one draw of the problem. "
            "Leave one of them out."
        )
    if recipe.draws > 1 and not problem.drawn:
        raise UserError(
            f"{source}: 'draws' is {recipe.draws}: the data of a problem of kind {kind} are given, not drawn. Leave "
            "draws out; several --seeds give intervals over trainings."
        )
    benchmarks = {registry.canonical(name): dict(settings) for name, settings in recipe.benchmarks.items()}
    for name, settings in benchmarks.items():
        filled_in = checked_settings(registry.benchmark(name), settings, source, f"benchmarks.{name}.")
        settings |= {k: v for k, v in filled_in.model_dump(exclude_unset=True).items() if k not in settings}
    if recipe.tune:
        tune_settings.check_metric(recipe.tune, benchmarks, source)
    for key in sorted(set(recipe.training) - overrides.setting_names()):
        hint = nearest(key, overrides.setting_names())
        raise UserError(
            f"{source}: training.{key}: no method has a setting '{key}'.{hint} `una-bench show METHOD` lists them."
        )
    checked: Recipe = recipe.model_copy(
        update={
            "problem": problem.model_dump(mode="json"),
            "benchmarks": benchmarks,
            "methods": tuple(registry.expand_methods(recipe.methods)),
        }
    )
    for name in dict.fromkeys((*checked.methods, *checked.settings)):
        variants(checked, name, source)
    return checked


def checked_settings(model: type[Any], raw: Mapping[str, Any], source: str, prefix: str) -> Any:
    """Validate settings, or raise `UserError` with the first thing that is wrong.

    YAML reads ``true`` as a switch, and ``1.5`` as a number: where text is needed, they are taken as text.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        word = str(first["input"]).lower() if isinstance(first["input"], bool) else str(first["input"])
        is_text = first["type"] == "string_type" and isinstance(first["input"], int | float)
        if len(first["loc"]) == 1 and (is_text or (word != first["input"] and word in _choices(first))):
            return checked_settings(model, {**raw, str(first["loc"][0]): word}, source, prefix)
        raise UserError(f"{source}: {_explain(error, model, prefix)}") from None


def _choices(error: Any) -> list[str]:
    """Return the values of a closed set that a value is none of."""
    return re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))


def _explain(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Describe the first error, with the nearest valid key."""
    errors = error.errors()
    # A misspelled key also causes a missing one; the spelling is the better message.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = (prefix + ".".join(str(part) for part in first["loc"])).rstrip(".")
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            annotation = owner.model_fields[str(part)].annotation if part in owner.model_fields else None
            kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            owner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
            if owner is None:
                break
        keys = [f.alias or n for n, f in owner.model_fields.items()] if owner is not None else []
        valid = f"Valid keys: {', '.join(keys)}" if keys else "Remove it"
        return f"there is no key '{where}'.{nearest(str(first['loc'][-1]), keys)} {valid}."
    if first["type"] == "missing":
        return f"the key '{where}' is missing. Add it; `una-bench show exact` prints a complete recipe."
    given = reprlib.repr(first["input"]) if first["loc"] else "not possible"
    choices = _choices(first)
    if choices:
        return f"'{where}' is {given}.{nearest(str(first['input']), choices)} Choose from: {', '.join(choices)}."
    return f"'{where or prefix[:-1]}' is {given}: {expected(first['msg'])}."


def variants(recipe: Recipe, name: str, source: str = "") -> list[Method]:
    """Build every variant of one method with the recipe's settings."""
    cls, source = registry.method(name), source or recipe.name
    shared = {k: v for k, v in recipe.training.items() if k in cls.model_fields}
    own = recipe.settings.get(name, ({},))
    return [checked_settings(cls, {**shared, **settings}, source, f"settings.{name}.") for settings in own]


def dump(recipe: Recipe) -> str:
    """Return the recipe as YAML with every default written out."""
    data = recipe.model_dump(mode="json", by_alias=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
