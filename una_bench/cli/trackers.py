"""Experiment trackers for ``--report-to``."""

from __future__ import annotations

from importlib.util import find_spec

from una_bench.errors import UserError, nearest

TRACKERS = ("tensorboard", "wandb", "trackio")


def parse(text: str) -> tuple[str, ...]:
    """Return the trackers in a comma-separated list; each must be supported and installed."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"--report-to: there is no tracker '{name}'.{nearest(name, TRACKERS)} "
                f"Choose from: {', '.join(TRACKERS)}."
            )
        if find_spec(name) is None:
            raise UserError(f"--report-to {name}: {name} is not installed. Install una-bench[trackers] or {name}.")
    return names
