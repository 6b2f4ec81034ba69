"""Experiment trackers that can follow a training: which are known, and whether they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from una_bench.errors import UserError, nearest

TRACKERS = ("tensorboard", "wandb", "trackio")


def parse(text: str) -> tuple[str, ...]:
    """Return the trackers of ``--report-to``, comma-separated; each must be known and installed."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise UserError(
                f"--report-to: there is no tracker '{name}'.{nearest(name, TRACKERS)} Choose from: {known}."
            )
        if find_spec(name) is None:
            raise UserError(f"--report-to {name}: it is not installed. Install una-bench[trackers], or {name} alone.")
    return names
