"""A suite written out as a recipe file of one's own, with a comment at every key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.method import Method
from una_bench.suite import recipe as recipes
from una_bench.suite import setting_help
from una_bench.suite.recipe import Recipe

FILLED_IN = ("fingerprint", "sha256")
"""Ends of keys that una-bench fills in for local files; a new file has none."""
WIDTH = 110


def create(path: Path, suite: str) -> None:
    """Write the recipe of ``suite`` to a new file.

    Raises:
        UserError: The file exists, its name is not that of a recipe, or it cannot be written.
    """
    if path.suffix not in {".yaml", ".yml"}:
        raise UserError(f"{path} is not the name of a recipe. Choose one that ends in .yaml.")
    text = written(recipes.load(suite), f"made from the suite {suite}; run it with: una-bench run {path}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} already exists. Choose another name; nothing was changed.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Choose another place.") from None


def written(recipe: Recipe, about: str) -> str:
    """Return the text of the file, which loads as ``recipe``; the first comment says ``about``."""
    data = recipe.model_dump(mode="json", by_alias=True)
    hint = "A commented line with a key is a setting with its default; remove its `#` to change it."
    lines = [*_comment(f"Recipe {about}", ""), *_comment(hint, "")]
    texts = setting_help.of(Recipe)
    for name, field in Recipe.model_fields.items():
        key = field.alias or name
        lines += ["", *_comment(texts.get(name, ""), "")]
        lines += _part(key, data[key])
    return "\n".join(lines) + "\n"


def _part(key: str, value: Any) -> list[str]:
    """Return the lines of one key of the recipe."""
    if key == "problem":
        return [f"{key}:", *_section(value, registry.problem_type(str(value["kind"])), "  ")]
    if key == "training":
        of_methods = {name: text for m in registry.method_names() for name, text in _help(registry.method(m)).items()}
        given = [line for name, one in value.items() for line in _entry(name, one, of_methods.get(name, ""), "  ")]
        return [f"{key}:" if given else f"{key}: {{}}", *given, *(_defaults(Method, value, "  ") if given else ())]
    if key == "settings":
        return [f"{key}:" if value else f"{key}: {{}}", *(line for one in value.items() for line in _variants(*one))]
    if key == "benchmarks":
        return [f"{key}:", *(line for one in value.items() for line in _benchmark(*one))]
    return list(_value(key, value, Recipe, ""))


def _help(cls: type) -> dict[str, str]:
    return setting_help.of(cls)


def _variants(name: str, variants: list[dict[str, Any]]) -> Iterator[str]:
    method = registry.method(name)
    yield from _comment(f"{method.label}: one row for each entry. `una-bench show {name}` lists all settings.", "  ")
    yield f"  {name}:"
    for variant in variants:
        yield "    -" if variant else "    - {}"
        yield from _section(variant, method, "      ")


def _benchmark(name: str, settings: dict[str, Any]) -> Iterator[str]:
    cls = registry.benchmark(name)
    hidden = {key: value for key, value in settings.items() if not key.endswith(FILLED_IN)}
    others = ", ".join(key for key in cls.model_fields if not key.endswith(FILLED_IN))
    about = f"{cls.about[:1].upper()}{cls.about[1:]}."
    yield from _comment(about if hidden or not others else f"{about} Settings: {others}.", "  ")
    yield f"  {name}:" if hidden else f"  {name}: {{}}"
    yield from _section(hidden, cls, "    ")
    if hidden:
        yield from _defaults(cls, hidden, "    ")


def _section(values: Mapping[str, Any], cls: type, indent: str) -> Iterator[str]:
    """Return the lines of the settings of a class, each below its comment."""
    for name, value in values.items():
        if not name.endswith(FILLED_IN):
            yield from _comment(_help(cls).get(name, ""), indent)
            yield from _value(name, value, cls, indent)


def _entry(name: str, value: Any, text: str, indent: str) -> Iterator[str]:
    yield from _comment(text, indent)
    yield from _plain(name, value, indent)


def _defaults(cls: type[BaseModel], given: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Return the settings that are not given, commented out."""
    for name, field in cls.model_fields.items():
        if name not in given and not name.endswith(FILLED_IN):
            yield from _comment(_help(cls).get(name, ""), indent)
            yield from (f"{indent}# {line}" for line in _plain(name, field.get_default(call_default_factory=True), ""))


def _value(name: str, value: Any, cls: type, indent: str) -> Iterator[str]:
    """Return the lines of one setting, those of its own settings included."""
    inner = _settings_class(cls, name)
    if inner is None or not isinstance(value, dict):
        yield from _plain(name, value, indent)
    else:
        yield f"{indent}{name}:"
        yield from _section(value, inner, indent + "  ")


def _settings_class(cls: type, name: str) -> type | None:
    """Return the class of a setting that has settings of its own."""
    annotation = cls.model_fields[name].annotation if issubclass(cls, BaseModel) and name in cls.model_fields else None
    choices = [annotation, *get_args(annotation)]
    return next((c for c in choices if isinstance(c, type) and (is_dataclass(c) or issubclass(c, BaseModel))), None)


def _plain(name: str, value: Any, indent: str) -> Iterator[str]:
    value = list(value) if isinstance(value, tuple) else value
    if isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()):
        yield f"{indent}{name}:"
        for inner, one in value.items():
            yield from _plain(inner, one, indent + "  ")
        return
    flow = isinstance(value, dict | list)
    text = yaml.safe_dump([value], default_flow_style=flow, sort_keys=False, allow_unicode=True, width=10**6)
    yield f"{indent}{name}: {text.strip()[1:-1] if flow else text.strip().removeprefix('- ')}"


def _comment(text: str, indent: str) -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False)
