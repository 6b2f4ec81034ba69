"""What the soak takes for a loss: an end that no signal explains, words that no user may see, a cell that differs."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from una_bench.record import reader
from una_bench.record.schema import Record, Status

UNSEEN = ("Traceback", "Warning", "leaked")
"""Words that no run may say, whatever was killed."""
PREPARATION_KILLED = "The suite could not be prepared: killed by SIGKILL"
SAME = ("oracle.", "task.", "frontier.")
"""Metrics that decide, which a disturbed run must have to the bit; times and memory differ between any two runs."""
Points = tuple[Sequence[float], Sequence[float]]
"""x and y of a curve."""


def allowed(sent: Sequence[Mapping[str, Any]], said: str) -> set[int]:
    """Ways in which a call may end after these signals; what no signal of ours explains is not among them."""
    codes = {0}
    for kill in sent:
        number = signal.Signals[kill["signal"]]
        if kill["target"] != "worker":
            codes |= {130, -number}
        elif number is signal.SIGKILL and PREPARATION_KILLED in said:
            codes.add(2)  # the user is told, and the same command prepares again
        else:
            codes |= {3, 130}  # a cell failed or was stopped; a preparation was stopped
    return codes


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Say what differs between two cells' `facts`: which curve, at which point, with both values."""
    found = [
        f"{name} differs: {mine.get(name)}, undisturbed {theirs[name]}"
        for name in theirs
        if name != "curves" and mine.get(name) != theirs[name]
    ]
    curves, wanted = mine["curves"], theirs["curves"]
    for name in sorted(curves.keys() | wanted.keys()):
        if curves.get(name) != wanted.get(name):
            found.append(f"curve {name} differs{_where(curves.get(name), wanted.get(name))}")
    return found


def _where(mine: Points | None, theirs: Points | None) -> str:
    """Name the first point at which two curves part."""
    if mine is None or theirs is None:
        return f": only the {'undisturbed' if mine is None else 'disturbed'} run has it"
    pairs, wanted = list(zip(*mine, strict=True)), list(zip(*theirs, strict=True))
    for number, (one, other) in enumerate(zip(pairs, wanted, strict=False)):
        if one != other:
            return f" at point {number}: (x, y) is {one}, undisturbed {other}"
    return f" in length: {len(pairs)} points, undisturbed {len(wanted)}"


def records(run: Path) -> dict[str, Record]:
    """Records with a result, by cell."""
    return {r.cell: r for r in reader.records(run) if r.status is Status.OK}


def facts(run: Path, record: Record) -> dict[str, Any]:
    """Return what must not depend on how often a cell was killed: losses, weights, results, counts."""
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
