"""Fairness ledger: conditions that were equal for all methods, that differed (by how much), or are unrecorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from una_bench import formatting
from una_bench.analysis import frame, preparations
from una_bench.analysis.frame import Row
from una_bench.record import code_facts
from una_bench.record.schema import Record, Status
from una_bench.reporting.fairness_topics import (
    JUDGED,
    OF_GENERATING,
    OF_UNTRAINED,
    TOPICS,
    TUNING,
    Read,
    generates,
    tuning,
)
from una_bench.reporting.tables.table import Cell, Column, Group, Line, Table


class Verdict(StrEnum):
    """Whether a condition was equal for all methods."""

    OK = "OK"
    DIFFERS = "DIFFERS"
    NOT_KNOWN = "N/A"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One topic: verdict, explanation, and the value of each row."""

    topic: str
    verdict: Verdict
    detail: str
    values: Mapping[str, str]
    """Row label -> value as shown; rows without a recorded value are absent."""


def ledger(records: Sequence[Record]) -> list[LedgerLine]:
    """Compare all rows on each topic, seed by seed."""
    rows = [row for row in frame.rows(records) if any(r.status is Status.OK for r in row.records)]
    lines = [_line(topic, read, [r for r in rows if _applies(topic, r)]) for topic, read in TOPICS]
    # One run prepares once: only records put together, or a run that resumed elsewhere, can differ in this.
    prepared = _line("policy and data as prepared", lambda r: preparations.parts(preparations.of(r)), rows)
    if any("tuning" in r.facts for r in records):
        lines.append(_line(TUNING, tuning, [r for r in rows if _applies(TUNING, r)]))
    trained = [row for row in rows if not row.fixed]
    judged = [_line(topic, read, trained) for topic, read in JUDGED]
    lines += [line for line in judged if line.values]
    return [*lines, *([prepared] if prepared.verdict is Verdict.DIFFERS else []), _code(rows)]


def _applies(topic: str, row: Row) -> bool:
    if topic in OF_GENERATING:
        return any(generates(record) for record in row.records)
    return topic in OF_UNTRAINED or not row.fixed


def _line(topic: str, read: Read, rows: Sequence[Row]) -> LedgerLine:
    by_row = {row.label: {r.seed: v for r in row.records if (v := read(r)) is not None} for row in rows}
    recorded = {label: values for label, values in by_row.items() if values}
    shown = {label: _shown(list(values.values())) for label, values in recorded.items()}
    missing = [label for label, values in by_row.items() if not values]
    if len(recorded) < 2:
        detail = f"recorded only for {next(iter(shown))}: {next(iter(shown.values()))}" if shown else "not recorded"
        return LedgerLine(topic=topic, verdict=Verdict.NOT_KNOWN, detail=detail, values=shown)
    seeds = {seed for values in recorded.values() for seed in values}
    same = all(len({_key(v[seed]) for v in recorded.values() if seed in v}) == 1 for seed in seeds)
    detail = next(iter(shown.values())) if same else _difference(recorded, shown)
    detail += f"; not recorded for {', '.join(missing)}" if missing else ""
    return LedgerLine(topic=topic, verdict=Verdict.OK if same else Verdict.DIFFERS, detail=detail, values=shown)


def _code(rows: Sequence[Row]) -> LedgerLine:
    """Compare the source code of all cells; the file of a method only between cells of that method."""
    recorded = [(row.label, [r for r in row.records if r.facts.get("code")]) for row in rows]
    missing = [label for label, records in recorded if not records]
    if len(missing) == len(recorded):
        return LedgerLine(topic="code", verdict=Verdict.NOT_KNOWN, detail="not recorded", values={})
    other = _other_code([r for _, records in recorded for r in records])
    cells_by_parts: dict[str, list[str]] = {}
    for cell, parts in other.items():
        cells_by_parts.setdefault(formatting.clean(", ".join(parts)), []).append(formatting.clean(cell))
    details = [f"{', '.join(cells)}: other code ({parts})" for parts, cells in cells_by_parts.items()]
    details += ["same for all cells"] if not other else []
    details += [f"not recorded for {', '.join(missing)}"] if missing else []
    values = {
        label: "other code" if any(r.cell in other for r in records) else "newest code"
        for label, records in recorded
        if records
    }
    verdict = Verdict.DIFFERS if other else Verdict.OK
    return LedgerLine(topic="code", verdict=verdict, detail="; ".join(details), values=values)


def _other_code(records: Sequence[Record]) -> dict[str, list[str]]:
    """Return, per cell, the parts that differ from the newest cell's, or from the code of a run that kept it."""
    newest: dict[str, Any] = {}
    for record in sorted(records, key=lambda r: r.started):
        newest[""] = newest[record.method] = record.facts["code"]
    other = {}
    for record in records:
        code = record.facts["code"]
        parts = {
            *code_facts.different(code, newest[""], ("training", "evaluation")),
            *code_facts.different(code, newest[record.method], ("method",)),
            *code.get(code_facts.OTHER, ()),
        }
        if parts:
            other[record.cell] = sorted(parts)
    return other


def _key(value: Any) -> str:
    return repr(sorted(value.items())) if isinstance(value, dict) else repr(value)


def _shown(values: Sequence[Any]) -> str:
    """Return a row's value as text; its seeds may differ."""
    first = values[0]
    if all(_key(v) == _key(first) for v in values):
        return _one(first)
    if all(isinstance(v, int | float) for v in values):
        return f"{_mean(values)} (mean; differs between seeds)"
    return "differs between seeds"


def _mean(values: Sequence[Any]) -> str:
    """Return a mean: of counts rounded to an integer, else to three digits."""
    mean = fmean(values)
    return f"{mean:.0f}" if all(isinstance(v, int) for v in values) else formatting.short(mean)


def _one(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{formatting.clean(k).replace('_', ' ')} {_one(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "[" + " ".join(_one(v) for v in value) + "]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = formatting.clean(value)
        return text[:12] + "…" if len(text) >= 32 and set(text) <= set("0123456789abcdef") else text
    return str(value) if isinstance(value, int) else f"{value:g}"


def _difference(recorded: Mapping[str, Mapping[int, Any]], shown: Mapping[str, str]) -> str:
    """Describe by how much numbers differ, or which rows have which value."""
    numbers = {label: list(values.values()) for label, values in recorded.items()}
    if all(isinstance(v, int | float) and not isinstance(v, bool) for values in numbers.values() for v in values):
        means = {label: fmean(values) for label, values in numbers.items()}
        least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        if means[least] > 0:
            percent = formatting.short(100 * (means[most] / means[least] - 1))
            low, high = _mean(numbers[least]), _mean(numbers[most])
            return f"by up to {percent} %: {least} {low}, {most} {high}"
    sharing: dict[str, list[str]] = {}
    for label, value in shown.items():
        sharing.setdefault(value, []).append(label)
    if len(sharing) == 1:
        return f"{next(iter(sharing))} and between methods"
    return "; ".join(f"{', '.join(labels)}: {value}" for value, labels in sharing.items())


def table(lines: Sequence[LedgerLine]) -> Table:
    """Return the ledger as a table, differences first."""
    headings = {
        Verdict.DIFFERS: "Differs between trained methods",
        Verdict.OK: "Equal for all trained methods, seed by seed",
        Verdict.NOT_KNOWN: "Recorded for fewer than two methods",
    }
    groups = [
        Group(
            heading=heading,
            lines=tuple(
                Line(label=x.topic, names={"topic": x.topic}, cells=(Cell(text=str(verdict)), Cell(text=x.detail)))
                for x in lines
                if x.verdict is verdict
            ),
        )
        for verdict, heading in headings.items()
    ]
    columns = (
        Column(key="verdict", head="verdict", numbers=(), wraps=True),
        Column(key="detail", head="details", numbers=(), wraps=True),
    )
    return Table(title="Fairness ledger", stub="topic", columns=columns, groups=tuple(g for g in groups if g.lines))


def to_json(lines: Sequence[LedgerLine]) -> list[dict[str, Any]]:
    """Return the ledger as JSON data, one object per topic."""
    return [
        {"topic": line.topic, "verdict": str(line.verdict), "detail": line.detail, "values": dict(line.values)}
        for line in lines
    ]
