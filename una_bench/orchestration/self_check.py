"""Self-check: memory and operations against arithmetic, and the noise of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from una_bench import formatting
from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback
from una_bench.machine import hardware
from una_bench.orchestration import repeat
from una_bench.orchestration.process_pool import Outcome, Pool, Task
from una_bench.orchestration.self_check_model import World
from una_bench.record.schema import Status

if TYPE_CHECKING:
    from rich.console import Console

TIMES = 5
SEEDS = (3, 5)
KNOWN = 64 * 2**20
"""Bytes of the known allocation."""
EXACT = 0.001
"""Arithmetic of the instruments against closed formulas: they may differ by scalars and small buffers."""
READING = 0.02
"""Readings of a known allocation: pages, and what the interpreter itself takes meanwhile."""
REMAINDER = 0.5
"""Peak above what must be there: activations, temporaries of the optimizer, the allocator's slack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure that is known beforehand."""

    name: str
    unit: str
    measured: float
    expected: float
    low: float
    """Smallest ratio of measured to expected that passes."""
    high: float

    @property
    def ok(self) -> bool:
        """Whether the measured figure is where it must be."""
        return self.low <= self.measured / self.expected <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the self-check found."""

    device: str
    checks: Sequence[Check]
    noise: Mapping[str, repeat.Spread]

    @property
    def ok(self) -> bool:
        """Whether every known figure was measured."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return everything, for machines."""
        return {
            "schema": 1,
            "kind": "selfcheck",
            "device": self.device,
            "ok": self.ok,
            "checks": [{**asdict(c), "ratio": c.measured / c.expected, "ok": c.ok} for c in self.checks],
            "noise": {name: spread.to_json(SEEDS) for name, spread in self.noise.items()},
        }


def measure(say: Callable[[str], None] = lambda _: None, world: World | None = None, times: int = TIMES) -> Report:
    """Train a model of known size ``times`` times in turn, through the workers that every run uses.

    Raises:
        RuntimeError: A training failed.
    """
    world, device = world or World(), hardware.resolve_device("auto")
    method = next(n for n in registry.method_names() if registry.method(n).feedback is Feedback.SCORE)
    pool = Pool(workers=1, threads=1, listen=lambda *_: None, trainers=registry.method(method).preload)
    with tempfile.TemporaryDirectory(prefix="una-bench-") as scratch:
        folder = Path(scratch)
        say("Making a model of known size")
        prepared = folder / "prepared"
        prepared.mkdir()
        task = {"world": asdict(world), "out": str(prepared)}
        _done(pool, "una_bench.orchestration.self_check_model:write", task, folder)
        known = _done(
            pool, "una_bench.orchestration.self_check_model:allocate", {"bytes": KNOWN, "device": device}, folder
        )
        job = {**world.job(), "device": device}
        cell = repeat.spec(method=method, settings={"warmup_steps": 5}, job=job, prepared=prepared)
        say(f"Training it {times} times in turn")
        trained = repeat.train(pool, cell, times, folder)
    return Report(device=device, checks=checks(world, known, trained[0]), noise=repeat.spreads(trained))


def _done(pool: Pool, kind: str, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    outcomes: list[Outcome] = []
    pool.run([Task(kind=kind, name=kind, spec=spec, log=folder / "log", timeout_seconds=120)], outcomes.append)
    if not outcomes or outcomes[0].status is not Status.OK:
        raise RuntimeError(outcomes[0].reason if outcomes else "stopped")
    return outcomes[0].result


def checks(world: World, known: Mapping[str, int], trained: Mapping[str, Any]) -> list[Check]:
    """Compare what was measured with what is known."""
    measured = repeat.values(trained)
    held = world.resident_bytes()
    found = [
        _check("known allocation", "B", known["known"], KNOWN, READING),
        _check("operations of training", "FLOP", measured["compute.flops"], world.flops(), EXACT),
    ]
    found += [
        _check(f"resident {name}", "B", measured[f"memory.resident.{name}"], size, EXACT) for name, size in held.items()
    ]
    total = sum(held.values())
    peak = Check(
        name="peak of training, at least all of these",
        unit="B",
        measured=measured["memory.peak"],
        expected=total,
        low=1.0,
        high=1 + REMAINDER,
    )
    return [*found, peak]


def _check(name: str, unit: str, measured: float, expected: float, tolerance: float) -> Check:
    return Check(name=name, unit=unit, measured=measured, expected=expected, low=1 - tolerance, high=1 + tolerance)


def show(console: Console, report: Report) -> None:
    """Print what was found."""
    from rich.table import Column, Table

    table = Table(
        "known figure", "measured", "arithmetic", "ratio", "allowed", "", title="Instruments against arithmetic"
    )
    table.title_justify = "left"
    for c in report.checks:
        shown = (formatting.quantity(c.measured, c.unit), formatting.quantity(c.expected, c.unit))
        allowed = f"{c.low:g} to {c.high:g}"
        table.add_row(c.name, *shown, f"{c.measured / c.expected:.4f}", allowed, "OK" if c.ok else "[red]WRONG[/red]")
    console.print(table)
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
