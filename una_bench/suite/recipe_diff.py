"""Differences between a recipe and a preset that make its results incomparable with what the preset reproduces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from una_bench.suite.plan import identity_of
from una_bench.suite.recipe import Recipe

FREE = ("name", "device", "threads", "evaluate_points", "schema", "benchmarks.leaderboard.batch_size")
"""Keys that may differ: they do not affect results."""
NOTED = ("fingerprint", "sha256", "revision")
"""Suffixes of keys that una-bench fills in for local files."""


def changed(recipe: Recipe, preset: Recipe) -> list[str]:
    """Return the dotted keys that affect results and differ from the preset's.

    A local folder or file with the name of the preset's model or data set counts as equal.
    """
    ours, theirs = (dict(_leaves(identity_of(r) | {"problem": r.problem})) for r in (recipe, preset))
    return sorted(
        key
        for key in ours.keys() | theirs.keys()
        if key not in FREE and not key.endswith(NOTED) and not _same(ours.get(key), theirs.get(key))
    )


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}" if where else str(key))
    else:
        yield where, value


def _same(ours: Any, theirs: Any) -> bool:
    if ours == theirs:
        return True
    paths = isinstance(ours, str) and isinstance(theirs, str) and "/" in ours and "/" in theirs
    return paths and PurePath(ours).name == PurePath(theirs).name
