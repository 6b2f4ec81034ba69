"""Runs to show beside each other: unique names, and what must not be compared because policy or data differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from una_bench import formatting
from una_bench.analysis import frame, preparations
from una_bench.analysis.frame import Metric, Row
from una_bench.analysis.preparations import PARTS, Facts, shown
from una_bench.errors import UserError
from una_bench.record import reader
from una_bench.record.schema import Record
from una_bench.reporting import fairness_topics
from una_bench.reporting.tables import column_heads

ESSENTIAL = ("policy", "data", "problem")
"""Parts of a preparation that every metric depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run under a unique name."""

    name: str
    records: list[Record]
    notes: tuple[str, ...] = ()
    rows: dict[tuple[str, str], Row]
    """(method, variant) -> row."""


def load(folders: Sequence[Path]) -> list[Run]:
    """Read runs; `UserError` if two of them are of another policy or other training data."""
    if len({folder.resolve() for folder in folders}) != len(folders):
        raise UserError("A run is given twice. Give each folder once.")
    loaded: list[Run] = []
    for folder, name in zip(folders, names(folders), strict=True):
        records = [r.model_copy(update={"run": name}) for r in reader.some(folder)]
        refuse_mixed(name, records)
        by_name = {(r.method, r.variant): r for r in frame.rows(records)}
        loaded.append(Run(name=name, records=records, rows=by_name, notes=tuple(reader.only_first(folder))))
    _refuse_others(loaded)
    return loaded


def names(folders: Sequence[Path]) -> list[str]:
    """Return the end of each path that no other path has."""
    parts_of = [folder.resolve().parts for folder in folders]
    names = []
    for parts in parts_of:
        count = next(n for n in range(1, len(parts) + 1) if sum(other[-n:] == parts[-n:] for other in parts_of) == 1)
        names.append(formatting.clean(Path(*parts[-count:])))
    return names


def refuse_mixed(run: object, records: Sequence[Record]) -> None:
    """Raise `UserError` if the records of one run are of several problems."""
    first, *others = preparations.distinct(records) or [{}]
    for facts in others:
        if parts := preparations.differing(first, facts):
            raise UserError(
                f"{run} holds records of several problems: {_other(first, facts, parts)}. Give a folder with records "
                "of one; `una-bench report` shows such records in separate groups."
            )


def _refuse_others(loaded: Sequence[Run]) -> None:
    first, *others = [(run.name, facts) for run in loaded for facts in preparations.distinct(run.records)] or [("", {})]
    for name, facts in others:
        parts = [part for part in preparations.differing(first[1], facts) if part in ESSENTIAL]
        if parts:
            raise UserError(
                f"{first[0]} and {name} cannot be compared: {_other(first[1], facts, parts)}. Compare runs of the same "
                "policy and data, or show each run alone with `una-bench leaderboard RUN`."
            )


def _other(first: Facts, second: Facts, parts: Sequence[str]) -> str:
    return ", ".join(f"other {PARTS[part]} ({shown(first, part)} and {shown(second, part)})" for part in parts)


def notes(loaded: Sequence[Run]) -> list[str]:
    """Return what the records of several runs do not say, or what was prepared anew for the same problem."""
    facts_by_run = {run.name: next(iter(preparations.distinct(run.records)), {}) for run in loaded}
    silent = [name for name, facts in facts_by_run.items() if not facts]
    lines = [line for run in loaded for line in run.notes]
    if silent and len(loaded) > 1:
        lines.append(
            f"{', '.join(silent)}: the records do not say which policy and data they are of (an older una-bench wrote "
            "them); runs of the same suite are compared as if these were equal"
        )
    (first_name, first), *others = [(name, facts) for name, facts in facts_by_run.items() if facts] or [("", {})]
    for name, facts in others:
        other_files = preparations.other_files(first, facts)
        if other_files and not preparations.differing(first, facts):
            parts = ", ".join(PARTS[part] for part in other_files)
            lines.append(
                f"{name}: same problem as {first_name}, prepared by another machine, other versions or other code: "
                f"{parts} not equal to the bit"
            )
    return lines


def refusal(first: Row | None, other: Row | None, metric: Metric) -> str:
    """Return why two rows of two runs may not be subtracted, empty if they may."""
    if first is None or other is None or not first.values.get(metric.name) or not other.values.get(metric.name):
        return "n/a"
    machine = metric.unit in {"B", "s", "J", "W"} or metric.unit.endswith("/s")
    differing = [d for d in first.context.different(other.context) if d != "machine" or machine]
    differing += _other_parts(first.records[0], other.records[0], metric)
    reason = " and ".join(differing)
    return reason and f"{reason} differ" + "s" * (" and " not in reason)


def _other_parts(first: Record, other: Record, metric: Metric) -> list[str]:
    """Return the names of the parts of the preparation that differ and that ``metric`` depends on."""
    facts, other_facts = preparations.of(first), preparations.of(other)
    if not facts or not other_facts:
        return ["suite"] if first.suite != other.suite else []
    rewarded = fairness_topics.generates(first) and first.job.get("reward", "learned") == "learned"
    depends = {
        **dict.fromkeys(ESSENTIAL, True),
        "heldout": metric.name.endswith(".heldout"),
        "reward": rewarded or metric.name.startswith("preference.reward."),
        "other": not metric.name.startswith(column_heads.COSTS),
    }
    return [PARTS[part] for part in preparations.differing(facts, other_facts) if depends[part]]
