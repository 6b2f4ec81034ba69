"""Tables of the study `ladder`, from its record: how many times as fast and as small each change makes a training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from ladder import LADDERS, Rung

COLUMNS = [(model, length) for model in ("small", "smollm2") for length in (24, 96)]
NAMES = {"small": "small", "smollm2": "SmolLM2"}
ENGINE = ("trainer", "logits", "sampler", "prompts")
TITLES = {"online": "From PPO to UNA-online", "offline": "From DPO to UNA-pairwise"}
Readings = Sequence[dict[str, float]]


def _ratios(above: Readings, below: Readings, figure: str) -> list[float]:
    """Return the ratio of each round that has both."""
    return [a[figure] / b[figure] for a, b in zip(above, below, strict=False)]


def measured(record: dict[str, Any], ladder: str, model: str, length: int) -> list[tuple[Rung, Readings]]:
    """Return the rungs that were measured, with their readings."""
    samples = record["samples"]
    named = ((rung, samples.get(f"{ladder}/{model}/{length}/{rung.name}")) for rung in LADDERS[ladder])
    return [(rung, readings) for rung, readings in named if readings]


def _spread(ratios: Sequence[float]) -> str:
    """Return the median, with the range if there are several rounds."""
    return f"{ratios[0]:.2f}" if len(ratios) == 1 else f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def _changes(pairs: Sequence[tuple[Readings, Readings]], ladder: str) -> str:
    """Return how many times as fast and with how many times fewer operations, and the memory in units of before."""
    by_round = zip(*(_ratios(above, below, "cpu_seconds") for above, below in pairs), strict=False)
    parts = [_spread([prod(ratios) for ratios in by_round])]
    if ladder == "online":  # offline the reference pass is not in the operations of a step
        parts.append(f"{prod(median(_ratios(above, below, 'flops')) for above, below in pairs):.2f}")
    parts.append(f"{prod(median(_ratios(below, above, 'peak_bytes')) for above, below in pairs):.2f}")
    return "; ".join(parts)


def cell(record: dict[str, Any], ladder: str, rung: Rung, model: str, length: int) -> str:
    """Return what a rung changed, of the first one its figures; — if it was not measured."""
    steps = measured(record, ladder, model, length)
    place = next((i for i, (each, _) in enumerate(steps) if each == rung), None)
    if place is None:
        return "—"
    if place == 0:
        seconds, size = (median(r[figure] for r in steps[0][1]) for figure in ("cpu_seconds", "peak_bytes"))
        return f"{seconds:.2f} s; {size / 2**20:.0f} MiB"
    return _changes([(steps[place - 1][1], steps[place][1])], ladder)


def shares(record: dict[str, Any], ladder: str, model: str, length: int, share: Sequence[str]) -> str:
    """Return the product of the changes that belong to ``share``; — without any."""
    pairs = pairwise(measured(record, ladder, model, length))
    parts = [(above, below) for (_, above), (rung, below) in pairs if rung.share in share]
    return f"**{_changes(parts, ladder)}**" if parts else "—"


def table(record: dict[str, Any], ladder: str) -> str:
    """Return the table of a ladder as Markdown."""
    columns = [c for c in COLUMNS if measured(record, ladder, *c)]
    heads = [TITLES[ladder], "belongs to", *(f"{NAMES[model]}, {length} tokens" for model, length in columns)]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(columns)]
    rows = [[rung.name, rung.share, *(cell(record, ladder, rung, *c) for c in columns)] for rung in LADDERS[ladder]]
    groups: dict[str, Sequence[str]] = (
        {"the method": ("method", "loss, trainer")} if ladder == "online" else {"settings of TRL": ("setting",)}
    )
    for name, share in (groups | {"the engine": ENGINE}).items():
        rows.append([f"**{name}, in all**", "", *(shares(record, ladder, *c, share) for c in columns)])
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def markdown(record: dict[str, Any]) -> str:
    """Return both tables."""
    return "\n\n".join(table(record, ladder) for ladder in LADDERS)
