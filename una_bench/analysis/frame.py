"""Records arranged for comparison: rows with values by metric and seed, and the context that makes rows comparable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.analysis import preparations
from una_bench.errors import UserError, nearest
from una_bench.record.reader import in_order, trained
from una_bench.record.schema import Better, Record, Status

if TYPE_CHECKING:
    import pandas as pd

MACHINE = ("machine", "cpu", "gpu", "accelerator", "device_name", "cores", "memory_bytes")
"""Keys of a record's environment that identify the machine."""
LENGTHS = ("max_prompt_length", "max_new_tokens")
"""Keys of a record's job that limit what is read of the data."""
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Properties that two rows must share to be compared."""

    machine: Pairs
    prepared: Pairs
    """Policy and data (`una_bench.analysis.preparations.identities`)."""
    length_limit: Pairs
    budget: Pairs

    def different(self, other: Context) -> list[str]:
        """Return the names of the fields that differ, except ``prepared``, which not every metric depends on."""
        names = [name for name in self.__slots__ if name != "prepared"]
        return [name.replace("_", " ") for name in names if getattr(self, name) != getattr(other, name)]

    def unlike(self, others: Iterable[Context]) -> str:
        """Describe the properties that not all of ``others`` share."""
        others = list(others)
        facts = [fact for name in self.__slots__ for fact in getattr(self, name)]
        shared = [{fact for name in self.__slots__ for fact in getattr(other, name)} for other in others]
        return ", ".join(f"{key} {value}" for key, value in facts if not all((key, value) in other for other in shared))


def contexts(records: Sequence[Record]) -> list[Context]:
    """Return the context of each record; a cell that failed before it recorded its machine gets its run's."""
    prepared = preparations.identities(records)
    recorded = [_context(record, identity) for record, identity in zip(records, prepared, strict=True)]
    complete = [(r.run, context) for r, context in zip(records, recorded, strict=True) if r.environment]

    def completed(record: Record, context: Context) -> Context:
        of_run = (c for run, c in complete if run == record.run)
        return next((c for c in of_run if replace(c, machine=context.machine) == context), context)

    return [c if r.environment else completed(r, c) for r, c in zip(records, recorded, strict=True)]


def _context(record: Record, prepared: Pairs) -> Context:
    of_job = ((k, record.job[k]) for k in ("device", "threads") if k in record.job)
    return Context(
        machine=_pairs([*((k, record.environment[k]) for k in MACHINE if k in record.environment), *of_job]),
        prepared=prepared,
        length_limit=_pairs((k, record.job[k]) for k in LENGTHS if k in record.job),
        budget=_pairs((k, v) for k, v in sorted(record.job.items()) if k.startswith("budget")),
    )


def _pairs(items: Iterable[tuple[str, Any]]) -> Pairs:
    return tuple(
        (key.removesuffix("_bytes"), formatting.quantity(value, "B"))
        if key.endswith("_bytes") and isinstance(value, int)
        else (formatting.clean(key).replace("_", " "), formatting.clean(value))
        for key, value in items
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """All seeds of one method and variant in one context."""

    method: str
    variant: str
    label: str
    """Unique in its table, without control characters."""
    run: str
    context: Context
    records: tuple[Record, ...]
    values: Mapping[str, Mapping[int, float]] = field(repr=False)
    """Metric -> seed -> value, of the cells that succeeded."""
    errors: Mapping[str, Mapping[int, float]] = field(repr=False)
    """Metric -> seed -> standard error over documents, if given."""
    not_run: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Metric -> reason why a benchmark could not measure it."""
    recorded: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Metric -> its name in the records, where that is another."""

    @property
    def fixed(self) -> bool:
        """Whether the row is an untrained policy, which has no seeds."""
        return not any(trained(r) for r in self.records)

    @property
    def failed(self) -> tuple[Record, ...]:
        """The cells that did not succeed."""
        return tuple(r for r in self.records if r.status is not Status.OK)

    def seeds(self, metric: str, like: Iterable[int] = ()) -> Mapping[int, float]:
        """Return seed -> value; the one value of an untrained row is repeated for every seed in ``like``."""
        values = self.values.get(metric, {})
        if self.fixed and len(values) == 1:
            return dict.fromkeys(like, next(iter(values.values()))) or values
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Name, unit and direction of a metric."""

    name: str
    unit: str
    better: Better
    measured: bool = True
    """Whether any cell has a value."""

    def improves(self, value: float, on: float) -> bool:
        """Return whether ``value`` is better than another, by more than rounding."""
        return not math.isclose(value, on, rel_tol=1e-9) and (value > on) == (self.better is Better.HIGHER)


class _Same:
    """Records as a key: equal to the same objects in the same order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.records)))

    def __eq__(self, other: object) -> bool:
        mine = tuple(map(id, self.records))
        return isinstance(other, _Same) and mine == tuple(map(id, other.records))


def rows(records: Sequence[Record], *, by_run: bool = False) -> list[Row]:
    """Group records into rows, in the order of `reader.in_order`."""
    return list(_rows(_Same(records), by_run))


@lru_cache(maxsize=8)  # a report asks ten times
def _rows(same: _Same, by_run: bool) -> list[Row]:
    records = same.records
    groups: dict[tuple[str, str, str, Context], list[Record]] = {}
    ordered = in_order(list(records))
    for record, context in zip(ordered, contexts(ordered), strict=True):
        key = (record.run if by_run else "", record.method, record.variant, context)
        groups.setdefault(key, []).append(record)
    labels = _labels([(k[0], v[0]) for k, v in groups.items()])
    table = []
    for ((_, method, variant, shared), members), label in zip(groups.items(), labels, strict=True):
        values, errors = _values(members)
        table.append(
            Row(
                method=method,
                variant=variant,
                label=label,
                run=members[0].run,
                context=shared,
                records=tuple(members),
                values=values,
                errors=errors,
                not_run={m.metric: m.how for r in members for m in r.measurements if not m.samples},
            )
        )
    return table


def _labels(firsts: Sequence[tuple[str, Record]]) -> list[str]:
    """Return unique labels: with the variant, then the run, then a number, if the label alone is not unique."""
    plain = [formatting.clean(r.label) or formatting.clean(r.method) for _, r in firsts]
    named = [
        f"{label} ({formatting.clean(r.variant)})" if r.variant and plain.count(label) > 1 else label
        for label, (_, r) in zip(plain, firsts, strict=True)
    ]
    of_run = [
        f"{label} · {formatting.clean(run)}" if run else label for label, (run, _) in zip(named, firsts, strict=True)
    ]
    earlier = [of_run[:i].count(label) for i, label in enumerate(of_run)]
    return [f"{label} ({count + 1})" if count else label for label, count in zip(of_run, earlier, strict=True)]


def _values(records: Sequence[Record]) -> tuple[dict[str, dict[int, float]], dict[str, dict[int, float]]]:
    values: dict[str, dict[int, float]] = {}
    errors: dict[str, dict[int, float]] = {}
    for record, m in ((r, m) for r in records if r.status is Status.OK for m in r.measurements if m.samples):
        values.setdefault(m.metric, {})[record.seed] = m.value
        if m.stderr is not None:
            errors.setdefault(m.metric, {})[record.seed] = m.stderr
    return values, errors


def metrics(records: Iterable[Record]) -> dict[str, Metric]:
    """Return the metrics of all cells, in order of first appearance."""
    return dict(_metrics(_Same(records)))


@lru_cache(maxsize=8)
def _metrics(same: _Same) -> dict[str, Metric]:
    by_name: dict[str, Metric] = {}
    for record in same.records:
        for m in record.measurements:
            metric = by_name.setdefault(m.metric, Metric(name=m.metric, unit=m.unit, better=m.better, measured=False))
            if metric.unit != m.unit:
                raise UserError(
                    f"{m.metric} has the unit {metric.unit} in one record and {m.unit} in {record.cell}. "
                    "Records of different versions cannot share a table; report each run alone."
                )
            if m.samples and not metric.measured:
                by_name[m.metric] = replace(metric, measured=True)
    return by_name


def find(table: Sequence[Row], name: str) -> Row:
    """Return the row that a user calls ``name``: a method, ``method[variant]``, or a label."""
    normalized = name.strip().lower().replace("-", "_").replace(" ", "_")
    names = [f"{r.method}[{r.variant}]" if r.variant else r.method for r in table]
    hits = [r for r, full in zip(table, names, strict=True) if name in {full, r.label} or normalized == full.lower()]
    hits = hits or [r for r in table if r.method == normalized]
    if not hits:
        choices = list(dict.fromkeys(names))
        raise UserError(f"There is no row '{name}'.{nearest(normalized, choices)} Choose from: {', '.join(choices)}.")
    if len({(r.method, r.variant) for r in hits}) > 1:
        raise UserError(
            f"'{name}' has several variants. Choose one of: {', '.join(f'{r.method}[{r.variant}]' for r in hits)}."
        )
    return hits[0]


def first(table: Sequence[Row], method: str) -> str | None:
    """Return the label of a method's first row, its first variant in the recipe's order; None without the method."""
    return next((row.label for row in table if row.method == method), None)


def long(records: Sequence[Record]) -> pd.DataFrame:
    """Return one line per measurement of every cell, in base units."""
    import pandas as pd

    lines = [
        {
            **{k: getattr(r, k) for k in ("run", "suite", "cell", "method", "variant", "label", "seed")},
            "status": str(r.status),
            "metric": m.metric if m else None,
            "unit": m.unit if m else None,
            "better": str(m.better) if m else None,
            "value": m.value if m and m.samples else None,
            "samples": len(m.samples) if m else 0,
            "stderr": m.stderr if m else None,
            "how": m.how if m else (r.failure.reason if r.failure else ""),
        }
        for r in records
        for m in (r.measurements or (None,))
    ]
    return pd.DataFrame(lines)
