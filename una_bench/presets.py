"""Named ways to run one suite: presets (whose settings) and scales (how large), each a list of changes to its recipe.

A recipe file may have four keys that no recipe has once it is loaded:

    preset       the preset that runs where none is asked for
    presets      name -> {dotted key: value}, as `--set` takes them
    scales       the same, applied after the preset; without a scale nothing is made smaller
    reproduces   what of a paper the suite is to be held against (`una_bench.reproduction` reads it)

`--set preset=NAME` and `--set scale=NAME` choose; what else is set comes last.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from una_bench import expectation, overrides
from una_bench.errors import UserError, nearest

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
    rest |= expectation.after(rest, raw)
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
