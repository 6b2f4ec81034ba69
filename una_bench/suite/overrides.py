"""Changes to a recipe's plain data by dotted keys, for ``--set`` and presets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any

import yaml

from una_bench.errors import UserError
from una_bench.interfaces import registry

Change = tuple[str, Any]
"""A dotted key and its new value, which replaces the old one."""
QUOTES = frozenset("'\"[{")
"""First signs of values that are YAML and not text."""


def parse(override: str) -> Change:
    """Parse ``a.b=value``, the argument of ``--set``.

    Text is taken as it stands: only in quotes, or within brackets, are ``#`` and ``: `` YAML's.
    """
    key, equals, text = override.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise UserError(f"--set {override}: write key=value, for example --set budget.responses=4096.")
    literal = text.strip()
    try:
        value = yaml.safe_load(literal)
    except (yaml.YAMLError, ValueError, RecursionError):
        if literal[:1] not in QUOTES:
            return key.strip(), literal
        raise UserError(
            f"--set {override}: the value is not valid YAML. Put text in quotes and a list in brackets: 'text', [1, 2]."
        ) from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        literal[:1] not in QUOTES
        and literal
        and (
            isinstance(value, str | dict | date)
            or (value is None and literal.startswith("#"))
            or (is_number and str(value) != literal)  # 007 may be text; a number is read from it all the same
        )
    ):
        value = literal
    return key.strip(), value


def apply(raw: dict[str, Any], changes: Iterable[Change], keys: Collection[str], origin: str = "--set") -> None:
    """Apply changes to a recipe's plain data with the top-level ``keys``, in order; messages name their ``origin``.

    A bare setting of methods goes to ``training``, ``METHOD.setting`` to every variant of that method.
    """
    changes = list(changes)
    if any(key.startswith("budget.") for key, _ in changes):
        raw["budget"] = {}  # one kind of budget replaces another
    for key, value in changes:
        parts, source = key.split("."), f"{origin} {key}={value}"
        if parts[0] not in keys:
            if len(parts) == 1 and parts[0] in setting_names():
                parts = ["training", *parts]
            elif registry.canonical(parts[0]) in registry.method_names():
                parts = ["settings", *parts]
        if parts[0] == "settings" and len(parts) > 2:
            name = registry.canonical(parts[1])
            variants = raw.setdefault("settings", {}).setdefault(name, {})
            for variant in variants if isinstance(variants, list) else [variants]:
                _place(variant, parts[2:], value, source)
        else:
            _place(raw, parts, value, source)


def _place(target: Any, parts: Sequence[str], value: Any, origin: str) -> None:
    for part in parts[:-1]:
        if not isinstance(target, dict):
            break
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
    if not isinstance(target, dict):
        raise UserError(f"{origin}: '{'.'.join(parts[:-1])}' has no subkeys. Write {'.'.join(parts[:-1])}=VALUE.")
    target[parts[-1]] = value


def setting_names() -> set[str]:
    """Return the names of all settings of methods."""
    return {setting for name in registry.method_names() for setting in registry.method(name).model_fields}
