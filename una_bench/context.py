"""What two rows must share to be compared: machine, data, budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from una_bench import words
from una_bench.record import Record

MACHINE = ("machine", "cpu", "gpu", "accelerator", "device_name", "cores", "memory_bytes")
"""Keys of a record's environment that tell machines apart."""
DATA = ("problem_key", "prepared", "data", "max_prompt_length", "max_new_tokens")
"""Keys of a record's job that tell data apart, besides the suite."""


@dataclass(frozen=True, slots=True)
class Context:
    """What two rows must share to stand in one table."""

    machine: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]
    budget: tuple[tuple[str, str], ...]

    def different(self, other: Context) -> list[str]:
        """Name what differs: ``machine``, ``data``, ``budget``."""
        return [name for name in self.__slots__ if getattr(self, name) != getattr(other, name)]

    def unlike(self, others: Iterable[Context]) -> str:
        """Describe what is not the same in all of ``others``."""
        others = list(others)
        facts = [fact for name in self.__slots__ for fact in getattr(self, name)]
        shared = [{fact for name in self.__slots__ for fact in getattr(other, name)} for other in others]
        return ", ".join(f"{key} {value}" for key, value in facts if not all((key, value) in other for other in shared))


def context(record: Record) -> Context:
    """Return what decides whether this record may stand beside another."""
    device = [("device", record.job["device"])] if "device" in record.job else []
    threads = [("threads", record.job["threads"])] if "threads" in record.job else []
    return Context(
        machine=_pairs([*((k, record.environment[k]) for k in MACHINE if k in record.environment), *device, *threads]),
        data=_pairs([("suite", record.suite), *((k, record.job[k]) for k in DATA if k in record.job)]),
        budget=_pairs((k, v) for k, v in sorted(record.job.items()) if k.startswith("budget")),
    )


def contexts(records: Sequence[Record]) -> dict[tuple[str, str], Context]:
    """Context of each record; a cell that failed before it saw its machine belongs with the rest of its run."""
    known = {(r.run, r.cell): context(r) for r in records}
    for record in records:
        own = known[record.run, record.cell]
        if not record.environment:
            others = (known[r.run, r.cell] for r in records if r.environment and r.run == record.run)
            same = (c for c in others if c.data == own.data and c.budget == own.budget)
            known[record.run, record.cell] = next(same, own)
    return known


def _pairs(items: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple(_pair(key, value) for key, value in items)


def _pair(key: str, value: Any) -> tuple[str, str]:
    if key.endswith("_bytes") and isinstance(value, int):
        return key.removesuffix("_bytes"), words.quantity(value, "B")
    return words.clean(key).replace("_", " "), words.clean(value)
