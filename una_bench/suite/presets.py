"""What of a suite's measured times and peaks still holds once its recipe is changed: figures for ``--dry-run``.

Named ways to run one suite: presets (whose settings) and scales (how large), each a list of changes to its recipe.

A recipe file may have four keys that no recipe has once it is loaded:

    preset       the preset that runs where none is asked for
    presets      name -> {dotted key: value}, as `--set` takes them
    scales       the same, applied after the preset; without a scale nothing is made smaller
    reproduces   what of a paper the suite is to be held against (`una_bench.reproduction.comparison` reads it)

`--set preset=NAME` and `--set scale=NAME` choose; what else is set comes last.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from una_bench.errors import UserError, nearest
from una_bench.suite import overrides

SAME_WORK = ("batch_responses", "lora", "precision", "device", "threads")
"""Keys that a training's time and memory hang on, beside the budget."""
SAME_TEXTS = ("kind", "policy", "max_prompt_length", "max_response_length", "max_length")
"""The same, of the problem."""
ONCE = ("setup", "evaluation")
"""What is expected of a suite and not of a method."""


def after(changed: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be expected of a changed recipe.

    Another amount of the same budget scales the seconds of a training; another model, length, batch or kind of
    training leaves nothing of them. Other benchmarks leave the time of an evaluation unknown.

    Args:
        changed: Plain data of the recipe as it will run, not validated yet.
        original: Plain data of the recipe file, where ``expected`` was measured.
    """
    expected = changed.get("expected")
    if not isinstance(expected, Mapping) or expected != original.get("expected"):
        return {"expected": expected} if "expected" in changed else {}  # the user's own, or none; validation judges it
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
    """How much of the measured budget there is; None: of another kind, or not a number."""
    if not isinstance(budget, Mapping) or not isinstance(measured, Mapping) or list(budget) != list(measured):
        return None
    amounts = [*budget.values(), *measured.values()]
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in amounts)
    return float(amounts[0] / amounts[1]) if numbers and len(amounts) == 2 else None


def _scaled(figures: Any, share: float | None) -> Any:
    if not isinstance(figures, Mapping) or "seconds" not in figures or share == 1:
        return figures
    rest = {name: value for name, value in figures.items() if name != "seconds"}
    known = share is not None and isinstance(figures["seconds"], int | float)
    return rest | ({"seconds": figures["seconds"] * share} if known else {})


KEYS = ("preset", "presets", "scales", "reproduces")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A recipe's plain data after everything that was chosen."""

    raw: dict[str, Any]
    """Without the keys above."""
    source: str
    """File it came from."""
    preset: str = ""
    scale: str = ""
    reproduces: Mapping[str, Any] = field(default_factory=dict)


def choose(raw: Mapping[str, Any], changes: Sequence[overrides.Change], keys: Collection[str], source: str) -> Chosen:
    """Apply preset, scale and ``changes`` to the plain data of a recipe file, in this order.

    The names of preset and scale become part of the suite's name, so that runs of them are never taken for each other.

    Raises:
        UserError: There is no such preset or scale, or a change cannot be made.
    """
    made = copy.deepcopy(dict(raw))
    asked = {key: value for key, value in changes if key in ("preset", "scale")}
    presets, scales = _named(made, "presets", source), _named(made, "scales", source)
    preset = _pick("preset", asked.get("preset", made.get("preset", "")), presets, source)
    scale = _pick("scale", asked.get("scale", ""), scales, source)
    known = {*keys, "reproduces"}
    for name, found in ((preset, presets), (scale, scales)):
        overrides.apply(made, found.get(name, {}).items(), known, said=f"{source}, {name}:")
    overrides.apply(made, [change for change in changes if change[0] not in asked], known)
    rest = {key: value for key, value in made.items() if key not in KEYS}
    rest |= after(rest, raw)
    if isinstance(rest.get("name"), str):
        rest["name"] = "-".join(filter(None, (rest["name"], preset, scale)))
    reproduces = made.get("reproduces") or {}
    if not isinstance(reproduces, dict):
        raise UserError(f"{source}: 'reproduces' must hold keys and values.")
    return Chosen(raw=rest, source=source, preset=preset, scale=scale, reproduces=reproduces)


def _named(raw: Mapping[str, Any], key: str, source: str) -> dict[str, dict[str, Any]]:
    found = raw.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(v, dict | None) for v in found.values()):
        raise UserError(f"{source}: '{key}' must hold names, each with dotted keys and values.")
    return {str(name): {str(k): v for k, v in (changes or {}).items()} for name, changes in found.items()}


def _pick(kind: str, wanted: Any, known: Mapping[str, Any], source: str) -> str:
    if wanted in ("", None):
        return ""
    name = str(wanted).replace("-", "_")
    if name not in known:
        choices = f"{nearest(name, known)} Choose from: {', '.join(known)}." if known else " It has none; leave it out."
        raise UserError(f"{source} has no {kind} '{wanted}'.{choices}")
    return name
