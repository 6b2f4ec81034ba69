"""Made-up records for the gate: every kind of figure, and a baseline to judge them by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import synthetic

from una_bench.gate import update
from una_bench.gate.compare import Outcome, Verdict, check
from una_bench.record.schema import Better, Curve, Measurement, Record

MIB = synthetic.MIB
ENVIRONMENT = {
    "machine": "Linux x86_64",
    "cpu": "a processor",
    "cpu_id": "a vendor 1/2",
    "packages": {"torch": "2.13.0", "trl": "1.12.0", "una-bench": "0.1.0"},
    "python": "3.11.7",
}


def one(method: str = "dpo", seed: int = 0, **changes: Any) -> Record:
    """A cell with every kind of figure; ``changes`` of a metric or a fact by name, of anything else as is."""
    level = {"pace": 10.0, "peak": 60.0 * MIB, "regret": 0.5, "loss": 0.4, "held": 4.0 * MIB} | {
        k: changes.pop(k) for k in list(changes) if k in {"pace", "peak", "regret", "loss", "held"}
    }
    facts = synthetic.facts(method, trains=True) | {"final_weights_sha256": "ff" * 32, "rows_dropped": 0}
    facts |= {"reference_weights_sha256": facts["initial_weights_sha256"]} | changes.pop("facts", {})
    measured = (
        ("oracle.regret.train", "1", Better.LOWER, (level["regret"],)),
        ("memory.peak", "B", Better.LOWER, (level["peak"],)),
        ("memory.resident.weights", "B", Better.NEITHER, (level["held"],)),
        ("memory.resident.activations", "B", Better.NEITHER, (level["peak"] - level["held"],)),
        ("pace.step", "yardstick", Better.LOWER, (level["pace"],) * 5),
        ("compute.flops", "FLOP", Better.LOWER, (1e9,)),
    )
    values: dict[str, Any] = {
        "facts": facts,
        "environment": ENVIRONMENT,
        "measurements": tuple(Measurement(metric=m, unit=u, better=b, samples=s) for m, u, b, s in measured),
        "curves": (
            Curve(metric="loss", unit="1", x=(64.0, 128.0, 192.0), y=(0.7, level["loss"], 0.3)),
            Curve(
                metric="learning_rate", unit="1", x=(64.0, 128.0, 192.0), y=(*changes.pop("warmup", (0.0, 1e-3)), 5e-4)
            ),
        ),
    }
    return synthetic.record(method, seed, **{**values, **changes})


def judged(write: Callable[..., Path], now: Record, *before: Record) -> dict[str, Verdict]:
    """Judge one cell against a baseline of others."""
    expected = update.make([write(f"before{i}", r) for i, r in enumerate(before or (one(),))])
    return {v.name: v for v in check([write("now", now)], expected)}


def outcomes(found: dict[str, Verdict], outcome: Outcome) -> set[str]:
    return {name for name, verdict in found.items() if verdict.outcome is outcome}


def elsewhere(**changes: Any) -> Record:
    """The same cell on another kind of processor."""
    return one(environment={**ENVIRONMENT, "cpu_id": "another vendor"}, **changes)
