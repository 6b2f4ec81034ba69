"""Memory, disk and time that a run needs, compared with this machine; refusal of one that is too small."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from una_bench import formatting
from una_bench.errors import UserError
from una_bench.machine import environment, hardware
from una_bench.suite import requirements
from una_bench.suite.requirements import CARD, CORE, GIB

if TYPE_CHECKING:
    from rich.console import Console

    from una_bench.reproduction.targets import Lengths
    from una_bench.suite.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Resources that a run may use."""

    device: str
    device_bytes: int
    """Memory of the accelerator, or of the machine if there is none."""
    disk_bytes: int
    """Free space at the run's folder."""


def here(recipe_device: str, out: Path) -> Machine:
    """Examine this machine, without importing torch."""
    device = hardware.resolve_device(recipe_device)
    facts = environment.machine()
    host = min(b for b in (facts["memory_bytes"], facts["memory_limit_bytes"]) if b)
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.is_dir())
    card = hardware.card() if device.startswith("cuda") else None
    return Machine(device=device, device_bytes=card.bytes if card else host, disk_bytes=shutil.disk_usage(place).free)


def _required(plan: Plan) -> requirements.Requirements:
    required = requirements.of(plan)
    if required is None or required.shape is None:
        name = plan.recipe.problem.get("policy") or "the policy"
        raise UserError(f"The size of {name} is unknown. Download it first (hf download {name}), or give a folder.")
    return required


def _missing(required: requirements.Requirements, machine: Machine) -> str:
    """Say what this machine has too little of; empty if nothing."""
    memory = "memory" if machine.device == "cpu" else f"memory on {machine.device}"
    amounts = (
        (memory, required.memory_bytes, machine.device_bytes),
        ("free disk space", required.disk_bytes, machine.disk_bytes),
    )
    return " and ".join(
        f"{needed / GIB:.1f} GiB of {name} (available: {available / GIB:.1f} GiB)"
        for name, needed, available in amounts
        if needed > available
    )


def require(plan: Plan, machine: Machine) -> None:
    """Raise `UserError` if memory or disk space is too small, or the size of the policy is unknown."""
    missing = _missing(_required(plan), machine)
    if missing:
        raise UserError(
            f"This machine is too small for {plan.recipe.name}, which needs {missing}. Use a larger machine, or test "
            "the suite with --scale small. --dry-run shows the estimate."
        )


def show(console: Console, plan: Plan, lengths: Lengths, machine: Machine) -> None:
    """Print time, memory and disk space, on a card and on this machine's cores, and whether this machine suffices."""
    from rich.markup import escape
    from rich.table import Table

    required, recipe = _required(plan), plan.recipe
    rates = {"card": CARD} | ({"core": CORE} if machine.device == "cpu" else {})
    heads = [f"time on a {name}" for name in rates]
    table = Table("cell", "memory, GiB", *heads, title=f"Needs of {recipe.name}", title_justify="left")
    evaluations = [len(plan.cells) * required.evaluation_seconds(rate) for rate in rates.values()]
    totals = evaluations
    for cell in (cell for cell in plan.cells if cell.trains):
        times = [required.train_seconds(cell, lengths, rate) for rate in rates.values()]
        totals = [total + seconds for total, seconds in zip(totals, times, strict=True)]
        gib = f"{required.peak_bytes(cell) / GIB:.1f}"
        table.add_row(escape(cell.name), gib, *(formatting.quantity(t, "s") for t in times))
    table.add_row(f"{len(plan.cells)} evaluations", "", *(formatting.quantity(t, "s") for t in evaluations))
    console.print(table)
    seconds = [total * recipe.draws / recipe.at_once for total in totals]
    hours = [f"{t / 3600:.1f} hours ({r.about})" for t, r in zip(seconds, rates.values(), strict=True)]
    missing = _missing(required, machine)
    console.print(
        f"Time: {' or '.join(hours)}, {recipe.at_once} at a time on an otherwise idle device; within a factor of two.\n"
        f"Memory: at most {required.memory_bytes / GIB:.1f} GiB. Disk: {required.disk_bytes / GIB:.1f} GiB.\n"
        "Estimated from float32 weights, gradients and Adam's moments of what is trained, the models beside it, "
        f"bfloat16 activations of the longest batch, and logits, for {lengths.prompt_tokens:.0f} tokens per prompt and "
        f"{lengths.response_tokens:.0f} per response.\n"
        + (f"This machine is too small: the run needs {missing}." if missing else "This machine is large enough.")
    )
