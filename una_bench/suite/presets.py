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


def after(changed: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expected figures of a changed recipe.

    Another amount of the same budget scales the seconds of a training. They are dropped if model, lengths, batch or
    kind of training differ; the time of an evaluation is dropped if the benchmarks differ.

    Args:
        changed: Plain data of the recipe as it will run, not validated yet.
        original: Plain data of the recipe file, where ``expected`` was measured.
    """
    expected = changed.get("expected")
    if not isinstance(expected, Mapping) or expected != original.get("expected"):
        return {"expected": expected} if "expected" in changed else {}  # the user's; validated later
    kept = {name: figures for name, figures in expected.items() if name in ONCE}
    if "evaluation" in kept and changed.get("benchmarks") != original.get("benchmarks"):
        kept["evaluation"] = {}
    share = _share(changed.get("budget"), original.get("budget"))
    if _alike(changed, original, SAME_WORK) and _alike(_problem(changed), _problem(original), SAME_TEXTS):
        kept |= {name: _scaled(figures, share) for name, figures in expected.items() if name not in ONCE}
    return {"expected": kept}


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    return all(one.get(key) == other.get(key) for key in keys)


def _problem(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    problem = raw.get("problem")
    return problem if isinstance(problem, Mapping) else {}


def _share(budget: Any, measured: Any) -> float | None:
    """Return the ratio of the budget to the measured one, None if it is of another kind or not a number."""
    if not isinstance(budget, Mapping) or not isinstance(measured, Mapping) or list(budget) != list(measured):
        return None
    amounts = [*budget.values(), *measured.values()]
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in amounts)
    return float(amounts[0] / amounts[1]) if numbers and len(amounts) == 2 else None


def _scaled(figures: Any, share: float | None) -> Any:
    if not isinstance(figures, Mapping) or "seconds" not in figures or share == 1:
        return figures
    rest = {name: value for name, value in figures.items() if name != "seconds"}
    if share is None or not isinstance(figures["seconds"], int | float):
        return rest
    return rest | {"seconds": figures["seconds"] * share}


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

    Raises:
        UserError: There is no such preset or scale, or a change cannot be made.
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
    rest |= after(rest, raw)
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
