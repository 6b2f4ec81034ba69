"""Changes to a recipe's plain data by dotted keys: what ``--set`` does, and what presets are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any

import yaml

from una_bench.errors import UserError
from una_bench.interfaces import registry

Change = tuple[str, Any]
"""A dotted key and its new value, which takes the place of all that was there."""


def parse(override: str) -> Change:
    """Return key and value of ``a.b=value`` as it stands behind ``--set``."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise UserError(f"--set {override}: write key=value, for example --set budget.responses=4096.")
    try:
        return key.strip(), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(
            f"--set {override}: the value is not valid YAML. Put text in quotes and a list in brackets: 'text', [1, 2]."
        ) from None


def apply(raw: dict[str, Any], changes: Iterable[Change], keys: Collection[str], said: str = "--set") -> None:
    """Make changes to ``raw``, in order.

    A bare setting of methods goes to ``training``, ``METHOD.setting`` to every variant of that method.

    Args:
        raw: Plain data of a recipe.
        changes: What to change.
        keys: Top-level keys that a recipe has.
        said: Where the changes come from, for messages.
    """
    changes = list(changes)
    if any(key.startswith("budget.") for key, _ in changes):
        raw["budget"] = {}  # one kind of budget takes the place of another
    for key, value in changes:
        _apply(raw, key, value, keys, f"{said} {key}={value}")


def _apply(raw: dict[str, Any], key: str, value: Any, keys: Collection[str], said: str) -> None:
    parts = key.split(".")
    if parts[0] not in keys:
        if len(parts) == 1 and parts[0] in setting_names():
            parts = ["training", *parts]
        elif registry.canonical(parts[0]) in registry.method_names():
            parts = ["settings", *parts]
    if parts[0] == "settings" and len(parts) > 2:
        name = registry.canonical(parts[1])
        variants = raw.setdefault("settings", {}).setdefault(name, {})
        for variant in variants if isinstance(variants, list) else [variants]:
            _place(variant, parts[2:], value, said)
    else:
        _place(raw, parts, value, said)


def _place(target: Any, parts: Sequence[str], value: Any, said: str) -> None:
    for part in parts[:-1]:
        if not isinstance(target, dict):
            break
        target = target.setdefault(part, {})
    if not isinstance(target, dict):
        raise UserError(f"{said}: '{'.'.join(parts[:-1])}' has no keys below it. Write {'.'.join(parts[:-1])}=VALUE.")
    target[parts[-1]] = value


def setting_names() -> set[str]:
    """Names of the settings that any method has."""
    return {f.name for name in registry.method_names() for f in fields(registry.method(name)) if f.init}
