"""Command ``doctor``: installed versions, the machine, and the needs of each suite."""

from __future__ import annotations

import os
import platform

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from una_bench.interfaces import registry
from una_bench.machine import environment, hardware
from una_bench.record import storage
from una_bench.suite import plan, recipe, requirements

PACKAGES = ("una-bench", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "lm_eval", "numpy", "pandas")


def show(console: Console) -> None:
    """Print versions, machine and needs."""
    table = Table("package", "version", title="Installed", title_justify="left")
    for package in PACKAGES:
        table.add_row(package, environment.package_version(package) or "missing")
    console.print(table)
    device = hardware.resolve_device("auto")
    if device != "cpu" and (card := hardware.card()) is not None:
        device += f" ({escape(card.name)}, {card.bytes / 2**30:.1f} GiB)"
    memory = psutil.virtual_memory()
    console.print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    console.print(
        f"Device: {device}; {os.cpu_count()} cores; {memory.total / 2**30:.1f} GiB memory, "
        f"{memory.available / 2**30:.1f} GiB free"
    )
    cache = storage.cache_folder()
    used = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) if cache.is_dir() else 0
    console.print(f"Cache: {escape(str(cache))} ({used / 2**20:.0f} MiB used)")
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in {"", "0"}
    state = "off (HF_HUB_OFFLINE is set)" if offline else "allowed; HF_HUB_OFFLINE=1 turns it off"
    console.print(f"Hugging Face Hub: {state}")
    table = Table("suite", "cells", "time", "largest state", title="Needs of a run of each suite", title_justify="left")
    for name in registry.suite_names():
        planned = plan.make(recipe.load(name))
        seconds, required = planned.expected_seconds(), requirements.of(planned)
        states = [required.state_bytes(cell) for cell in planned.cells if cell.trains] if required else []
        table.add_row(
            name,
            str(len(planned.cells)),
            "unknown" if seconds is None else f"{seconds / 60:.0f} min",
            f"{max(states) / 2**20:.1f} MiB" if states else "unknown",
        )
    console.print(table)
