"""Changes to a recipe's plain data by dotted keys, for ``--set`` and presets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, get_args, get_origin

import yaml

from una_bench.errors import UserError, nearest
from una_bench.interfaces import registry
from una_bench.interfaces.settings import Settings
from una_bench.suite import yaml_values

Change = tuple[str, Any]
"""A dotted key and its new value, which replaces the old one."""
TAKE_OUT = object()
"""Value of a key that is to be removed."""
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
        value = yaml_values.load(literal)
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

    A bare setting is for every method: it goes to ``training``, and replaces what the recipe gives a method of its own,
    unless variants are compared by it. ``METHOD.setting`` goes to every variant of that method. Null takes a key
    out of a mapping, unless it is a setting that may be null.
    """
    changes = list(changes)
    if any(key.startswith("budget.") for key, _ in changes):
        raw["budget"] = {}  # one kind of budget replaces another
    for key, value in changes:
        parts, source = key.split("."), f"{origin} {key}={value}"
        if parts[0] not in keys:
            if len(parts) == 1 and parts[0] in setting_names():
                _drop_of_methods(raw, parts[0])
                parts = ["training", *parts]
            elif registry.canonical(parts[0]) in registry.method_names():
                parts = ["settings", *parts]
            else:
                choices = [*keys, *registry.method_names(), *setting_names()]
                raise UserError(
                    f"{source}: there is no key '{parts[0]}'.{nearest(parts[0], choices)} Valid keys: "
                    f"{', '.join(sorted(keys))}; names of methods and their settings (`una-bench show METHOD`)."
                )
        if value is None and _is_entry(parts, raw):
            value, source = TAKE_OUT, f"{origin} {key}=null"
        if parts[0] == "settings" and len(parts) > 2:
            name = registry.canonical(parts[1])
            variants = raw.setdefault("settings", {}).setdefault(name, {})
            for variant in variants if isinstance(variants, list) else [variants]:
                _place(variant, parts[2:], value, source)
        elif parts[0] == "methods" and value is TAKE_OUT:
            out = registry.expand_methods(parts[1:])
            raw["methods"] = [m for m in registry.expand_methods(raw.get("methods", ["all"])) if m not in out]
        else:
            _place(raw, parts, value, source)


def _drop_of_methods(raw: Mapping[str, Any], setting: str) -> None:
    """Remove a setting from each method's own, except where its variants differ in it."""
    for variants in (raw.get("settings") or {}).values():
        each = variants if isinstance(variants, list) else [variants]
        if len({repr(variant.get(setting)) for variant in each}) == 1:
            for variant in each:
                variant.pop(setting, None)


def _is_entry(parts: Sequence[str], raw: Mapping[str, Any]) -> bool:
    """Return whether a key is an entry of a mapping, and no setting that may be null."""
    if parts[0] in {"benchmarks", "settings", "expected", "methods"} and len(parts) == 2:
        return True
    if parts[0] == "training" and len(parts) == 2:
        return not any(_may_be_null(registry.method(name), parts[1]) for name in registry.method_names())
    if parts[0] == "settings" and len(parts) == 3:
        return not _may_be_null(registry.method(parts[1]), parts[2])
    if parts[0] == "problem" and len(parts) == 3:
        settings = registry.problem_type(str(raw.get("problem", {}).get("kind", ""))).model_fields
        return parts[1] in settings and get_origin(settings[parts[1]].annotation) is dict
    return False


def _may_be_null(settings: type[Settings], name: str) -> bool:
    return name in settings.model_fields and type(None) in get_args(settings.model_fields[name].annotation)


def _place(target: Any, parts: Sequence[str], value: Any, origin: str) -> None:
    for part in parts[:-1]:
        if not isinstance(target, dict):
            break
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
    if not isinstance(target, dict):
        raise UserError(f"{origin}: '{'.'.join(parts[:-1])}' has no subkeys. Write {'.'.join(parts[:-1])}=VALUE.")
    if value is not TAKE_OUT:
        target[parts[-1]] = value
    elif parts[-1] in target:
        del target[parts[-1]]
    else:
        entries = f"It has: {', '.join(target)}." if target else "The recipe gives it no entries."
        mapping, key = ".".join(parts[:-1]), parts[-1]
        raise UserError(f"{origin}: '{mapping}' has no '{key}'.{nearest(key, target)} {entries}")


def setting_names() -> set[str]:
    """Return the names of all settings of methods."""
    return {setting for name in registry.method_names() for setting in registry.method(name).model_fields}
