"""Memory, disk and time that a run needs, compared with this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.errors import UserError
from una_bench.machine import environment, hardware
from una_bench.suite import requirements
from una_bench.suite.estimate import BYTES_PER_FLOAT
from una_bench.suite.requirements import CARD, CORE, GIB, Assumed, Rate, Sizes

if TYPE_CHECKING:
    from rich.console import Console

    from una_bench.suite.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run may use."""

    device: str
    device_bytes: int
    """Memory of the accelerator, or of the machine where there is none."""
    disk_bytes: int
    """Free where the run's folder will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run takes."""

    training: tuple[tuple[str, float, float], ...]
    """Name, bytes at the peak, and hours on the assumed device, of each training."""
    evaluations: int
    evaluation_hours: float
    workers: int
    disk_bytes: float
    rate: Rate

    @property
    def device_bytes(self) -> float:
        """Memory of the trainings that run at the same time, the largest ones."""
        largest = sorted((size for _, size, _ in self.training), reverse=True)[: self.workers]
        return sum(largest) + requirements.PROCESS_BYTES * len(largest)

    @property
    def hours(self) -> float:
        """Of everything."""
        return (sum(h for *_, h in self.training) + self.evaluations * self.evaluation_hours) / self.workers


def here(recipe_device: str, out: Path) -> Machine:
    """Examine this machine, without importing torch."""
    device = hardware.resolve_device(recipe_device)
    facts = environment.machine()
    host = min(b for b in (facts["memory_bytes"], facts["memory_limit_bytes"]) if b)
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.is_dir())
    card = hardware.card() if device.startswith("cuda") else None
    return Machine(device=device, device_bytes=card.bytes if card else host, disk_bytes=shutil.disk_usage(place).free)


def need(plan: Plan, assumed: Assumed, rate: Rate) -> Need:
    """Work out what a plan takes on a device of that rate."""
    size = requirements.sizes(plan)
    trained = [cell for cell in plan.cells if cell.trains]
    return Need(
        training=tuple(
            (
                cell.name,
                requirements.cell_bytes(plan, cell, size),
                requirements.train_seconds(plan, cell, size, assumed, rate) / 3600,
            )
            for cell in trained
        ),
        evaluations=len(plan.cells),
        evaluation_hours=requirements.evaluate_seconds(plan, size, rate) / 3600,
        workers=plan.recipe.workers,
        disk_bytes=_disk_bytes(plan, size, len(trained)),
        rate=rate,
    )


def _disk_bytes(plan: Plan, size: Sizes, trainings: int) -> float:
    """Models as hubs store them, checkpoints in float32, states to go on from, data sets of the tasks."""
    stored = size.policy.parameters + (size.reward.parameters if size.reward else 0)
    kept = BYTES_PER_FLOAT * size.trained * (trainings + 3 * plan.recipe.workers)
    limited = any(s.get("limit") is not None for s in plan.recipe.benchmarks.values())
    return requirements.HALF * stored + kept + (GIB if limited else requirements.TASK_DATA_BYTES)


def lacking(needed: Need, machine: Machine) -> list[str]:
    """Say what this machine has too little of."""
    said = []
    for name, wanted, there in (
        (
            "memory" if machine.device == "cpu" else f"memory on {machine.device}",
            needed.device_bytes,
            machine.device_bytes,
        ),
        ("free disk", needed.disk_bytes, machine.disk_bytes),
    ):
        if wanted > there:
            said.append(f"{wanted / GIB:.1f} GiB of {name}, and there are {there / GIB:.1f} GiB")
    return said


def require(needed: Need, machine: Machine, name: str) -> None:
    """Refuse a machine that cannot hold the run.

    Raises:
        UserError: It says how much is needed and how much is there.
    """
    missing = lacking(needed, machine)
    if missing:
        raise UserError(
            f"This machine cannot hold {name}: it needs {'; and '.join(missing)}. Use a larger one, or prove the path "
            "with --scale small. --dry-run shows the arithmetic."
        )


def _span(hours: float) -> str:
    return formatting.quantity(3600 * hours, "s")


def show(console: Console, plan: Plan, assumed: Assumed, machine: Machine) -> Need:
    """Print hours, memory and disk, on one card and on this machine's cores, and whether this machine can hold it."""
    from rich.markup import escape
    from rich.table import Table

    rates = [CARD] if machine.device != "cpu" else [CARD, CORE]
    needs = [need(plan, assumed, rate) for rate in rates]
    first = needs[0]
    heads = ["time on a card", *(["time on a core"] if len(needs) > 1 else [])]
    table = Table("cell", "memory, GiB", *heads, title=f"Needed for {plan.recipe.name}", title_justify="left")
    for number, (name, size, _) in enumerate(first.training):
        table.add_row(escape(name), f"{size / GIB:.1f}", *(_span(n.training[number][2]) for n in needs))
    hours = [_span(n.evaluations * n.evaluation_hours) for n in needs]
    table.add_row(f"{first.evaluations} evaluations", "", *hours)
    console.print(table)
    spans = " or ".join(f"{n.hours:.1f} hours ({n.rate.about})" for n in needs)
    console.print(f"Hours: {spans}; {first.workers} at a time, no other use of the device. Good to a factor of two.")
    console.print(f"Memory: {first.device_bytes / GIB:.1f} GiB at most. Disk: {first.disk_bytes / GIB:.1f} GiB.")
    console.print(
        "By arithmetic: float32 weights, gradients and Adam's moments of what is trained, models kept beside it, "
        f"bfloat16 activations of the longest batch, logits; assumed {assumed.prompt_tokens:.0f} tokens a prompt and "
        f"{assumed.response_tokens:.0f} a response."
    )
    return needs[-1]
