"""Presets and scales of a suite: named lists of changes to its recipe, and their effect on expected figures.

A recipe file may have four keys that a loaded recipe does not have:

    preset       the default preset
    presets      name -> {dotted key: value}, as for `--set`
    scales       the same, applied after the preset; there is no default scale
    reproduces   published tables and claims to compare with (see `una_bench.reproduction.targets`)

`--set preset=NAME` and `--set scale=NAME` select them; other `--set` changes are applied last.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from una_bench.errors import UserError, nearest
from una_bench.suite import overrides

SAME_WORK = ("batch_responses", "lora", "precision", "device", "threads")
"""Keys that determine the time and memory of a training, besides the budget."""
SAME_TEXTS = ("kind", "policy", "max_prompt_length", "max_response_length", "max_length")
"""Keys of the problem that do."""
ONCE = ("setup", "evaluation")
"""Expected figures of the suite, not of a method."""


def expected_after(changed: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expected figures of a changed recipe.

    Another amount of the same budget scales the seconds of a training. They are dropped if model, lengths, batch or
    kind of training differ; the time of an evaluation is dropped if the benchmarks differ.
    ``changed`` is the recipe as it will run, with the figures of ``original``, its file, where they were measured.
    """
    same = all(changed.get(key) == original.get(key) for key in SAME_WORK)
    same = same and all(changed["problem"].get(key) == original["problem"].get(key) for key in SAME_TEXTS)
    [(kind, amount)], [(measured_kind, measured)] = changed["budget"].items(), original["budget"].items()
    figures = {name: dict(was) for name, was in changed["expected"].items() if same or name in ONCE}
    for name in figures.keys() - ONCE:
        seconds = figures[name].pop("seconds", None)
        same_data = changed["problem"].get("dataset") == original["problem"].get("dataset")
        if seconds is not None and kind == measured_kind and (kind != "epochs" or same_data):
            figures[name]["seconds"] = seconds * (amount / measured)
    if "evaluation" in figures and changed["benchmarks"] != original["benchmarks"]:
        figures["evaluation"] = {}
    return figures


KEYS = ("preset", "presets", "scales", "reproduces")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A recipe's plain data after preset, scale and changes."""

    raw: dict[str, Any]
    """Without `KEYS`."""
    source: str
    """Its file."""
    preset: str = ""
    scale: str = ""
    reproduces: Mapping[str, Any] = field(default_factory=dict)


def choose(raw: Mapping[str, Any], changes: Sequence[overrides.Change], keys: Collection[str], source: str) -> Chosen:
    """Apply preset, scale and ``changes`` to the plain data of a recipe file, in this order.

    The names of preset and scale become part of the suite's name, so that their runs are not mistaken for each other.
    """
    data = copy.deepcopy(dict(raw))
    selected = {key: value for key, value in changes if key in ("preset", "scale")}
    presets, scales = _named(data, "presets", source), _named(data, "scales", source)
    preset = _pick("preset", selected.get("preset", data.get("preset", "")), presets, source)
    scale = _pick("scale", selected.get("scale", ""), scales, source)
    top_keys = {*keys, "reproduces"}
    for name, changes_by_name in ((preset, presets), (scale, scales)):
        overrides.apply(data, changes_by_name.get(name, {}).items(), top_keys, origin=f"{source}, {name}:")
    overrides.apply(data, [change for change in changes if change[0] not in selected], top_keys)
    rest = {key: value for key, value in data.items() if key not in KEYS}
    if "expected" in raw and rest.get("expected") == raw["expected"]:
        with suppress(ArithmeticError, AttributeError, KeyError, TypeError, ValueError):  # validation refuses it later
            rest["expected"] = expected_after(rest, raw)
    if isinstance(rest.get("name"), str):
        rest["name"] = "-".join(filter(None, (rest["name"], preset, scale)))
    reproduces = data.get("reproduces") or {}
    if not isinstance(reproduces, dict):
        raise UserError(f"{source}: 'reproduces' must contain keys and values.")
    return Chosen(raw=rest, source=source, preset=preset, scale=scale, reproduces=reproduces)


def _named(raw: Mapping[str, Any], key: str, source: str) -> dict[str, dict[str, Any]]:
    by_name = raw.get(key) or {}
    if not isinstance(by_name, dict) or not all(isinstance(v, dict | None) for v in by_name.values()):
        raise UserError(f"{source}: '{key}' must contain names, each with dotted keys and values.")
    return {str(name): {str(k): v for k, v in (changes or {}).items()} for name, changes in by_name.items()}


def _pick(kind: str, selected: Any, choices: Mapping[str, Any], source: str) -> str:
    if selected in ("", None):
        return ""
    name = str(selected).replace("-", "_")
    if name not in choices:
        hint = f"{nearest(name, choices)} Choose from: {', '.join(choices)}." if choices else f" It has no {kind}s."
        raise UserError(f"{source} has no {kind} '{selected}'.{hint}")
    return name
