"""Criteria of the soak test: unexplained exit statuses, output that no user should see, cells that differ."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from una_bench.record import reader
from una_bench.record.schema import Record, Status

UNSEEN = ("Traceback", "Warning", "leaked")
"""Words that must not appear in the output, whatever was killed."""
PREPARATION_KILLED = "The suite could not be prepared: killed by SIGKILL"
SAME = ("oracle.", "task.", "frontier.")
"""Metrics that must be bit-identical; times and memory differ between any two runs."""
Points = tuple[Sequence[float], Sequence[float]]
"""x and y of a curve."""


def allowed(sent: Sequence[Mapping[str, Any]], output: str) -> set[int]:
    """Return the exit statuses that these signals explain."""
    codes = {0}
    for kill in sent:
        number = signal.Signals[kill["signal"]]
        if kill["target"] != "worker":
            codes |= {130, -number}
        elif number is signal.SIGKILL and PREPARATION_KILLED in output:
            codes.add(2)  # a message to the user; the same command prepares again
        else:
            codes |= {3, 130}  # a cell failed or was stopped; a preparation was stopped
    return codes


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the differences between two cells' `facts`, of curves with the first differing point."""
    lines = [
        f"{name} differs: {mine.get(name)}, undisturbed {theirs[name]}"
        for name in theirs
        if name != "curves" and mine.get(name) != theirs[name]
    ]
    curves, expected = mine["curves"], theirs["curves"]
    for name in sorted(curves.keys() | expected.keys()):
        if curves.get(name) != expected.get(name):
            lines.append(f"curve {name} differs{_where(curves.get(name), expected.get(name))}")
    return lines


def _where(mine: Points | None, theirs: Points | None) -> str:
    """Return the first point at which two curves differ."""
    if mine is None or theirs is None:
        return f": only the {'undisturbed' if mine is None else 'disturbed'} run has it"
    pairs, expected = list(zip(*mine, strict=True)), list(zip(*theirs, strict=True))
    for number, (one, other) in enumerate(zip(pairs, expected, strict=False)):
        if one != other:
            return f" at point {number}: (x, y) is {one}, undisturbed {other}"
    return f" in length: {len(pairs)} points, undisturbed {len(expected)}"


def records(run: Path) -> dict[str, Record]:
    """Return the records with a result, by cell."""
    return {r.cell: r for r in reader.records(run) if r.status is Status.OK}


def facts(run: Path, record: Record) -> dict[str, Any]:
    """Return the values that interruptions must not change: losses, weights, results, counts."""
    folder = next((run / "cells").glob(f"*-{record.key[:8]}"))
    files = sorted(folder.glob("checkpoint/*.safetensors"))
    return {
        "key": record.key,
        "curves": {c.metric: (c.x, c.y) for c in record.curves if c.unit != "s"},
        "weights": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        "results": {m.metric: m.samples for m in record.measurements if m.metric.startswith(SAME)},
        "steps": [record.steps.responses, record.steps.response_tokens, record.steps.optimizer_steps],
        "budgets": [record.facts.get(name) for name in ("flops", "tokens_trained")],
        "timed steps": len(record.steps.seconds),
    }
