"""A suite as data: one YAML file, validated, with every default written out."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from una_bench.errors import UserError, expected, nearest
from una_bench.interfaces import registry
from una_bench.interfaces.method import Lora, Method
from una_bench.suite import overrides, presets

SCHEMA = 1
MOST_BYTES, MOST_VALUES = 2**20, 10_000
"""Sizes beyond which a file is no recipe; YAML's references can unfold a small file to any size."""
MOST_SEED = 2**32 - 1
"""NumPy's highest."""
NAME = re.compile(r"[^\W_][\w .-]{0,99}")
"""A name becomes part of a folder's name, so it must not lead elsewhere."""


class Budget(BaseModel):
    """What every method may use up, exactly one of these; all stop at the same figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    responses: int | None = Field(default=None, gt=0)
    """Responses trained on, repetitions counted."""
    steps: int | None = Field(default=None, gt=0)
    """Optimizer steps."""
    tokens: int | None = Field(default=None, gt=0)
    """Tokens trained on, prompt and response, repetitions counted, padding not."""
    flops: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Floating-point operations of all passes of all models."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds of training, evaluations not counted."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if len(self.given()) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer
    def given(self) -> dict[str, float]:
        """Return the one that is given."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class Recipe(BaseModel):
    """One suite: what is learned, by which methods, with what budget, and what is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_number: int = Field(default=SCHEMA, alias="schema")
    name: str
    about: str = ""
    problem: dict[str, Any]
    """Settings of the problem; ``kind`` names it."""
    methods: tuple[str, ...] = ("all",)
    """Methods that run when the command line names none."""
    seeds: tuple[int, ...] = (0, 1, 2)
    training: dict[str, Any] = {}
    """Settings given to every method that has a field of that name."""
    settings: dict[str, tuple[dict[str, Any], ...]] = {}
    """Per method, a list of variants; each is a set of settings on top of ``training``."""
    budget: Budget
    batch_responses: int = Field(gt=0)
    reward: Literal["learned", "true"] = "learned"
    temperature: float = Field(default=1.0, gt=0)
    benchmarks: dict[str, dict[str, Any]]
    evaluate_points: int = Field(default=0, ge=0)
    """How often the benchmarks look at the policy during training."""
    lora: Lora | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of products in training, with weights in float32; ``auto`` is bfloat16 where the device is faster with it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` is ``cuda`` where there is a card; CUDA_VISIBLE_DEVICES chooses among several."""
    threads: int = Field(default=1, gt=0)
    """Processor threads of one cell."""
    workers: int = Field(default=1, gt=0)
    """Cells that train at the same time, never more than the cores hold."""
    timeout_minutes: float = Field(default=60.0, gt=0)
    """A cell that takes longer is stopped and recorded as such."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """How often a long training saves a state to go on from after a kill."""
    expected: dict[str, dict[str, float]] = {}
    """Per method what one cell took where the suite was last measured: ``seconds``, ``peak_bytes``. For --dry-run."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be different numbers from 0 up, at least one")
        if max(seeds) > MOST_SEED:
            raise ValueError(f"seeds must not be above {MOST_SEED}")
        return seeds

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name has letters, digits, spaces and . _ - only, and begins with a letter or digit")
        return name


def load(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a suite by name or a recipe file, apply preset, scale and ``key=value`` changes, and validate all of it."""
    chosen = choose(name, changes)
    return validate(chosen.raw, chosen.source)


def choose(name: str, changes: Sequence[str] = ()) -> presets.Chosen:
    """Read a suite and apply what is chosen, without validating it."""
    path = _find(name)
    raw = _read(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold keys and values, as the suites that `una-bench list` names do.")
    raw.setdefault("name", path.stem)
    keys = {f.alias or n for n, f in Recipe.model_fields.items()}
    return presets.choose(raw, [overrides.parse(change) for change in changes], keys, str(path))


def _read(path: Path) -> Any:
    """Return the plain data of a YAML file; what a file could do to its reader is refused."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} has more than {MOST_BYTES} bytes; a recipe has a few thousand. Give another file.")
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a file that can.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply. Write it as the suites that `una-bench list` names.") from None
    except (yaml.YAMLError, ValueError) as error:  # a date may be none
        said = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML: {said}. Mend it there; text with signs needs quotes.") from None
    left, seen = [raw], 0
    while left:
        one, seen = left.pop(), seen + 1
        if seen > MOST_VALUES:
            raise UserError(
                f"{path} unfolds to more than {MOST_VALUES} values; a recipe has about a hundred. Write fewer."
            )
        left.extend([*one.keys(), *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else ())
    return raw


def _find(name: str) -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if path.is_file():
            return path
        raise UserError(f"There is no recipe file {name}. `una-bench list` names the suites that are built in.")
    wanted = registry.canonical(name).replace("_", "-")
    known = registry.suite_names()
    if wanted not in known:
        raise UserError(
            f"There is no suite '{name}'.{nearest(wanted, known)} Choose from: {', '.join(known)}, or give a file."
        )
    folder = registry.recipe_folder()
    return next(p for p in folder.glob("*.yaml") if p.stem.replace("_", "-") == wanted)


def validate(raw: Mapping[str, Any], source: str) -> Recipe:
    """Validate a recipe and everything it names, and write the problem's and benchmarks' defaults out."""
    raw = dict(raw)
    number = raw.get("schema", SCHEMA)
    if isinstance(number, int) and number > SCHEMA:
        raise UserError(f"{source} has schema {number}; this una-bench reads up to {SCHEMA}. Upgrade una-bench.")
    if isinstance(raw.get("settings"), dict):
        raw["settings"] = {
            registry.canonical(str(k)): v if isinstance(v, list | tuple) else [v] for k, v in raw["settings"].items()
        }
    recipe = _checked(Recipe, raw, source, "")
    kind = str(recipe.problem.get("kind", ""))
    problem = _checked(registry.problem_type(kind), recipe.problem, source, "problem.")
    benchmarks = {registry.canonical(name): dict(settings) for name, settings in recipe.benchmarks.items()}
    for name, settings in benchmarks.items():
        _checked(registry.benchmark(name), settings, source, f"benchmarks.{name}.")
    unknown = set(recipe.training) - overrides.setting_names()
    for key in sorted(unknown):
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


def _checked(model: type[Any], raw: Mapping[str, Any], source: str, prefix: str) -> Any:
    """Validate settings.

    YAML reads ``true`` as a switch, and ``1.5`` as a number: where text is needed, they are taken as text.

    Raises:
        UserError: The first thing that is wrong, in one message.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        word = str(first["input"]).lower() if isinstance(first["input"], bool) else str(first["input"])
        is_text = first["type"] == "string_type" and isinstance(first["input"], int | float)
        if len(first["loc"]) == 1 and (is_text or (word != first["input"] and word in _choices(first))):
            return _checked(model, {**raw, str(first["loc"][0]): word}, source, prefix)
        raise UserError(f"{source}: {_explain(error, model, prefix)}") from None


def _choices(error: Any) -> list[str]:
    """Return the values of a closed set that a value is none of."""
    return re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))


def _explain(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Say the first thing that is wrong, with the key and the nearest valid one."""
    errors = error.errors()
    # A misspelled key is also a missing one: the spelling is what the user can see.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = prefix + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            annotation = owner.model_fields[str(part)].annotation if part in owner.model_fields else None
            owner = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
            if owner is None:
                break
        keys = [f.alias or n for n, f in owner.model_fields.items()] if owner is not None else []
        return f"there is no key '{where}'.{nearest(str(first['loc'][-1]), keys)} Valid keys: {', '.join(keys)}."
    if first["type"] == "missing":
        return f"the key '{where}' is missing. Add it; `una-bench show exact` prints a whole recipe."
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
    return [_checked(cls, {**shared, **settings}, source, f"settings.{name}.") for settings in own]


def changed_settings(method: Method) -> tuple[str, ...]:
    """Names of settings that differ from the method's own defaults."""
    defaults = type(method)().settings()
    return tuple(sorted(k for k, v in method.settings().items() if v != defaults[k]))


def dump(recipe: Recipe) -> str:
    """Return the recipe as YAML with every default written out."""
    data = recipe.model_dump(mode="json", by_alias=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
