"""Self-check: the reading of a known allocation, and the noise of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback
from una_bench.machine import hardware
from una_bench.orchestration import repeat
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.orchestration.self_check_model import JOB
from una_bench.record.schema import Status

if TYPE_CHECKING:
    from rich.console import Console

TIMES = 5
SEEDS = (3, 5)
KNOWN = 64 * 2**20
"""Bytes of the known allocation."""
TOLERANCE = 0.02
"""Allowed relative error of its reading: pages, and what the interpreter allocates meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of the self-check."""

    device: str
    allocated_bytes: int
    """Reading of an allocation of `KNOWN` bytes."""
    noise: Mapping[str, repeat.Spread]

    @property
    def ok(self) -> bool:
        """Whether the known allocation was measured."""
        return abs(self.allocated_bytes / KNOWN - 1) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return everything, for machines."""
        return {
            "schema": 2,
            "kind": "selfcheck",
            "device": self.device,
            "ok": self.ok,
            "allocation": {"bytes": KNOWN, "measured_bytes": self.allocated_bytes, "tolerance": TOLERANCE},
            "noise": {name: spread.to_json(SEEDS) for name, spread in self.noise.items()},
        }


def measure(say: Callable[[str], None] = lambda _: None, times: int = TIMES) -> Report:
    """Measure a known allocation, then train a small model ``times`` times, in the workers that every run uses."""
    device = hardware.resolve_device("auto")
    method = next(n for n in registry.method_names() if registry.method(n).feedback is Feedback.SCORE)
    pool = Pool(workers=1, threads=1, listen=lambda *_: None, trainers=registry.method(method).preload)
    with tempfile.TemporaryDirectory(prefix="una-bench-") as scratch:
        folder = Path(scratch)
        say("Making a small model")
        prepared = folder / "prepared"
        prepared.mkdir()
        _done(pool, "write", {"out": str(prepared)}, folder)
        reading = _done(pool, "allocate", {"bytes": KNOWN, "device": device}, folder)
        job = {**JOB, "device": device}
        cell = repeat.spec(method=method, settings={"warmup_steps": 5}, job=job, prepared=prepared)
        say(f"Training it {times} times in turn")
        trained = repeat.train(pool, cell, times, folder)
    return Report(device=device, allocated_bytes=reading["bytes"], noise=repeat.spreads(trained))


def _done(pool: Pool, name: str, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    outcomes: list[Outcome] = []
    kind = f"una_bench.orchestration.self_check_model:{name}"
    pool.run([Task(kind=kind, name=name, spec=spec, log=folder / "log", timeout_seconds=120)], outcomes.append)
    if not outcomes or outcomes[0].status is not Status.OK:
        raise RuntimeError(outcomes[0].reason if outcomes else "stopped")
    return outcomes[0].result


def show(console: Console, report: Report) -> None:
    """Print the results."""
    from rich.table import Column, Table

    console.print(
        f"An allocation of {formatting.quantity(KNOWN, 'B')} was measured as "
        f"{formatting.quantity(report.allocated_bytes, 'B')} (allowed: {100 * TOLERANCE:g} % more or less): "
        + ("OK" if report.ok else "[red]WRONG[/red]")
    )
    seeds = [f"{n} seeds" for n in SEEDS]
    figure = Column("figure", overflow="fold")  # two names differ only at their ends
    table = Table(figure, "mean", "largest − smallest", "sd", *seeds, title="Noise: the same cell again and again")
    table.title_justify = "left"
    for name, spread in report.noise.items():
        resolvable = (f"{100 * spread.resolvable_share(n):.1f} %" for n in SEEDS)
        spreads = (f"{100 * spread.range_share:.1f} %", f"{100 * spread.sd_share:.1f} %")
        table.add_row(name, formatting.quantity(fmean(spread.readings), repeat.METRICS[name]), *spreads, *resolvable)
    console.print(table)
    count = len(next(iter(report.noise.values())).readings)
    console.print(
        "Last columns: the smallest difference between two methods with that many seeds each that can be told from "
        f"this machine's noise (95 %), from {count} trainings of one cell. The spread over seeds is not included."
    )
