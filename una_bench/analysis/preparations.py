"""Policy, data and reward model that records are of, and which of these differ between two records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from una_bench import formatting
from una_bench.record.schema import Record

Facts = Mapping[str, Any]
"""The fact ``prepared`` of a record; empty if it has none."""
PARTS = {
    "policy": "policy",
    "data": "training data",
    "heldout": "held-out data",
    "reward": "reward model",
    "other": "ground truth and tasks",
    "problem": "problem",
}
"""Part of a preparation -> its name in messages; ``problem`` stands for all of them where no part has a hash."""
DIGITS = 8
"""Digits of a hash that messages show."""


def of(record: Record) -> Facts:
    """Return the fact ``prepared`` of a record; empty for records of older versions."""
    return record.facts["prepared"] if record.problem else {}


def distinct(records: Sequence[Record]) -> list[Facts]:
    """Return the different preparations of some records, in order of first appearance."""
    return list({repr(sorted(facts.items())): facts for record in records if (facts := of(record))}.values())


def differing(first: Facts, second: Facts) -> list[str]:
    """Return the keys of `PARTS` that differ; none if one of the two is unknown.

    Equal settings are the same problem, although rounding on another machine may change the hash of what was computed.
    Other settings are the same problem if they prepared the same files.
    """
    if not first or not second or first["problem"] == second["problem"]:
        return []
    return other_files(first, second)


def other_files(first: Facts, second: Facts) -> list[str]:
    """Return the keys of `PARTS` whose hashes differ; ``problem`` if no part has a hash and the settings differ."""
    hashed = [key for key in PARTS if key != "problem" and (key in first or key in second)] or ["problem"]
    return [key for key in hashed if first.get(key) != second.get(key)]


def identities(records: Sequence[Record]) -> list[tuple[tuple[str, str], ...]]:
    """Return (name, value) of the parts of each record's preparation; equal for records of the same problem.

    A record without the fact counts as of the first problem recorded for its suite.
    """
    kinds: list[Facts] = []
    of_suite: dict[str, Facts] = {}
    for record in records:
        if facts := of(record):
            same = next((kind for kind in kinds if not differing(kind, facts)), None)
            kinds += [] if same else [facts]
            of_suite.setdefault(record.suite, same or facts)
    named = []
    for record in records:
        facts = of(record) or of_suite.get(record.suite, {})
        kind = next((kind for kind in kinds if facts and not differing(kind, facts)), {})
        named.append(tuple((parts(kind) or {"suite": formatting.clean(record.suite)}).items()))
    return named


def parts(facts: Facts) -> dict[str, str] | None:
    """Return the parts of a preparation by name, None if it is unknown."""
    hashed = [key for key in PARTS if key != "problem" and key in facts] or ["problem"]
    return {PARTS[key]: shown(facts, key) for key in hashed} if facts else None


def shown(facts: Facts, part: str) -> str:
    """Return the name and the first digits of the hash of one part."""
    if part not in facts:
        return "none"
    names = facts.get("names")
    name = formatting.clean(names.get(part, "")) if isinstance(names, Mapping) else ""
    return f"{name} {formatting.clean(facts[part])[:DIGITS]}".strip()
