"""Command ``doctor``: installed versions, the machine, and the needs of each suite."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from una_bench.interfaces import registry
from una_bench.machine import hardware
from una_bench.record import storage
from una_bench.suite import plan, recipe, requirements

PACKAGES = ("una-bench", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "lm_eval", "numpy", "pandas")


def show(console: Console) -> None:
    """Print versions, machine and needs."""
    table = Table("package", "version", title="Installed", title_justify="left")
    for package in PACKAGES:
        table.add_row(package, _version(package))
    console.print(table)
    memory = psutil.virtual_memory()
    console.print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    console.print(
        f"Device: {_device()}; {os.cpu_count()} cores; {memory.total / 2**30:.1f} GiB memory, "
        f"{memory.available / 2**30:.1f} GiB free"
    )
    console.print(
        f"Cache: {escape(str(storage.cache_folder()))} ({_size(storage.cache_folder()) / 2**20:.0f} MiB used)"
    )
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in {"", "0"}
    console.print(
        f"Hugging Face Hub: {'off (HF_HUB_OFFLINE is set)' if offline else 'allowed; HF_HUB_OFFLINE=1 turns it off'}"
    )
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


def _device() -> str:
    device = hardware.resolve_device("auto")
    card = None if device == "cpu" else hardware.card()
    return device if card is None else f"{device} ({escape(card.name)}, {card.bytes / 2**30:.1f} GiB)"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
