"""Comparison of one process a cell with two (DDP, ZeRO-2, ZeRO-3), for every method that may use several.

    python benchmarks/studies/processes.py [--responses 4096] [--methods dpo,kto,...] [--out FILE]

Needs two idle cores and DeepSpeed; runs the suite `exact` with one seed. For each method: the largest difference of the
losses of all logged steps, the regrets, tokens per second and the peak of a process. Bounds: losses of UNA's methods
agree to 1e-5; the regrets of a method differ by less than a tenth of the median distance between methods that are
neighbors by regret.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback
from una_bench.machine import environment
from una_bench.record import reader
from una_bench.record.schema import Record, Status

OUT = Path(__file__).parents[2] / "results" / "studies" / "processes.json"
REGRET, SPEED, PEAK = "oracle.regret.train", "throughput.tokens_per_second", "memory.peak"
LOSS_BOUND, REGRET_SHARE = 1e-5, 0.1
ONE = "one process"
WAYS: dict[str, list[str]] = {
    ONE: [],
    "DDP": ["processes=2"],
    "ZeRO-2": ["processes=2", "sharding=zero2"],
    "ZeRO-3": ["processes=2", "sharding=zero3"],
}


def allowed() -> list[str]:
    """Return the methods that several processes train as one does."""
    kinds = {name: registry.method(name) for name in registry.method_names()}
    return [name for name, kind in kinds.items() if not kind.one_process and kind.feedback is not Feedback.NONE]


def run(methods: Sequence[str], responses: int, way: str, out: Path) -> dict[str, Record]:
    """Run the suite in one of `WAYS`, one cell at a time, and return the record of each cell."""
    changes = [f"budget.responses={responses}", "workers=1", *WAYS[way]]
    command = [sys.executable, "-m", "una_bench", "run", "exact", "--methods", ",".join(methods), "--seeds", "0"]
    command += [part for change in changes for part in ("--set", change)]
    subprocess.run([*command, "--out", str(out)], check=True)
    return {r.cell: r for r in reader.records(out) if r.method in methods and r.status is Status.OK}


def compared(ways: Mapping[str, Record]) -> dict[str, Any]:
    """Return the figures of one method, trained in each way."""
    losses = {way: next(curve.y for curve in r.curves if curve.metric == "loss") for way, r in ways.items()}
    figures = {way: {m.metric: m.samples[0] for m in r.measurements} for way, r in ways.items()}
    return {
        "losses": len(losses[ONE]),
        "loss_difference": {
            way: max(abs(a - b) for a, b in zip(losses[ONE], each, strict=True))
            for way, each in losses.items()
            if way != ONE
        },
        **{metric: {way: values[metric] for way, values in figures.items()} for metric in (REGRET, SPEED, PEAK)},
    }


def summary(cells: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the bounds and whether they hold."""
    regrets = sorted(entry[REGRET][ONE] for entry in cells.values())
    distance = median(b - a for a, b in pairwise(regrets)) if len(regrets) > 1 else 0.0
    una = [entry for entry in cells.values() if registry.method(entry["method"]).regresses]
    losses = [difference for entry in una for difference in entry["loss_difference"].values()]
    gaps = [abs(regret - entry[REGRET][ONE]) for entry in cells.values() for regret in entry[REGRET].values()]
    return {
        "neighbor_distance": distance,
        "largest_regret_difference": max(gaps),
        "regrets_within_bound": max(gaps) <= REGRET_SHARE * distance,
        "largest_una_loss_difference": max(losses, default=0.0),
        "una_losses_within_bound": max(losses, default=0.0) <= LOSS_BOUND,
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=4096)
    parser.add_argument("--methods", default=",".join(allowed()))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    names = given.methods.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        found = {way: run(names, given.responses, way, Path(scratch) / way) for way in WAYS}
    cells = {
        cell: {"method": record.method, **compared({way: found[way][cell] for way in WAYS})}
        for cell, record in found[ONE].items()
    }
    study = {
        "schema": 1,
        "kind": "processes",
        "responses": given.responses,
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "cells": cells,
        **summary(cells),
    }
    given.out.write_text(json.dumps(study, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
