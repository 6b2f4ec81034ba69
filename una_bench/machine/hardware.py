"""Processor, cores and cards, read from the kernel and the driver without torch; device and precision for ``auto``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import combinations, takewhile
from pathlib import Path
from typing import NamedTuple

from una_bench.errors import UserError

CARDS = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")))
"""Where drivers show cards: NVIDIA's, AMD's, and those of Windows below Linux."""
CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> list[int]:
    """Return the cores that this process may use; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def idle_first(cores: list[int]) -> list[int]:
    """Sort cores that are busy now to the end, so that two runs started one after the other use different ones."""
    import psutil

    load = dict(enumerate(psutil.cpu_percent(interval=0.1, percpu=True)))
    return sorted(cores, key=lambda core: load.get(core, 0.0) > 50.0)


def processor() -> dict[str, str]:
    """Return what the kernel tells of the processor, by the names of ``/proc/cpuinfo``; empty where it does not."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))  # of several processors, the first counts
    return {key.strip(): value.strip() for key, _, value in pairs}


def resolve_device(name: str) -> str:
    """Turn ``auto`` into ``cuda`` where the driver shows a card."""
    if name != "auto":
        return name
    return "cuda" if shutil.which("nvidia-smi") and Path("/dev/nvidia0").exists() else "cpu"


class Card(NamedTuple):
    """What the driver says of a card."""

    name: str
    bytes: int
    """Memory of the whole card."""


def card() -> Card | None:
    """Return the first NVIDIA card that this process may use; None where the driver names none."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    command += [f"--id={chosen}"] if chosen else []
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        name, _, mebibytes = said.splitlines()[0].rpartition(",")
        return Card(name=name.strip(), bytes=int(mebibytes) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def cards() -> list[str]:
    """Return the ids of the NVIDIA cards that this process may use, as ``CUDA_VISIBLE_DEVICES`` takes them.

    That variable chooses among the cards where the user has set it, by number, UUID or MIG id; a card that is split
    (MIG) is its parts.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        ids = [one.strip() for one in chosen.split(",")]
        # The driver ignores what stands after the first id that is none.
        return list(takewhile(lambda one: one and not one.startswith("-"), ids))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    by_card: list[tuple[str, list[str]]] = []
    for line in listed.splitlines():
        if card_id := re.match(r"GPU (\d+):", line):
            by_card.append((card_id[1], []))
        elif (part := re.search(r"\bMIG .*\(UUID: (MIG-[^)]+)\)", line)) and by_card:
            by_card[-1][1].append(part[1])
    return [one for number, parts in by_card for one in (parts or [number])]


def most_workers(threads: int, card_count: int = 0) -> int:
    """Return how many cells can run at the same time, each on ``threads`` cores, and on a card if there are any."""
    of_cores = (len(usable_cores()) or os.cpu_count() or 1) // threads
    return max(1, min(of_cores, card_count or of_cores))


def links(ids: Sequence[str]) -> str:
    """Return how cards are connected, in the driver's words (``NV12``: twelve NVLinks, ``SYS``: over the processors).

    Empty for fewer than two cards, and where the driver does not say.
    """
    if len(ids) < 2:
        return ""
    try:
        listed = subprocess.run(["nvidia-smi", "topo", "-m"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    rows = [re.sub(r"\x1b\[\d*m", "", line).split() for line in listed.stdout.splitlines()]
    heads = next((row for row in rows if row[:1] == ["GPU0"] and "GPU1" in row), [])
    by_name = {row[0]: dict(zip(heads, row[1:], strict=False)) for row in rows if row and row is not heads}
    pairs = combinations([f"GPU{one}" for one in ids], 2)
    return ", ".join(sorted({by_name[a][b] for a, b in pairs if b in by_name.get(a, {})}))


def require_device(name: str) -> None:
    """Refuse ``cuda`` where the kernel shows no card of any maker, before anything is prepared."""
    if name == "cuda" and not any(path.exists() for path in CARDS):
        raise UserError("device=cuda: no GPU is visible to this process. Leave it out, or use device=cpu.")


def resolve_precision(name: str, device: str) -> str:
    """Turn ``auto`` into the precision in which matrix products are fast on ``device`` (``auto`` too, or resolved).

    That is bfloat16 on a card, and on a processor with units for it: AMX, those of AMD, those of ARM. Other processors
    that know the instructions (Intel's avx512_bf16 without AMX) were measured to multiply at half the rate of float32.
    """
    if name != "auto":
        return name
    if resolve_device(device) == "cuda":
        return "bfloat16"
    words = set(" ".join(processor().values()).split())
    fast = "amx_bf16" in words or {"AuthenticAMD", "avx512_bf16"} <= words or {"bf16", "asimd"} <= words
    return "bfloat16" if fast else "float32"
