"""Offline mode, and the report of what a suite needs but this machine lacks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from una_bench.errors import UserError

SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that the libraries read at import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that a suite needs and this machine lacks."""

    what: str
    command: str
    """Command that downloads it."""
    automatic: bool = False
    """Whether it is downloaded automatically if there is a network."""

    def note(self) -> str:
        """Return the warning for a run that starts without it."""
        return f'Tasks that need {self.what} will show "not run". To download it: {self.command}'


def enable() -> None:
    """Disable hub connections in this process and its children; call before any heavy import."""
    for name in SWITCHES:
        os.environ[name] = "1"


def is_on() -> bool:
    """Return whether connections are disabled, by `enable` or by the libraries' own switch."""
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in SWITCHES[:1])


def require_nothing_missing(needs: Iterable[Need], name: str) -> None:
    """Refuse to start the suite ``name`` if it misses anything, with a UserError that lists all of it."""
    missing = list(needs)
    if not missing:
        return
    width = max(len(need.what) for need in missing)
    lines = [f"  {need.what:<{width}}  {need.command}" for need in missing]
    raise UserError(
        f"Inputs of the suite {name} are not on this machine. With network access, these commands download them:\n"
        + "\n".join(lines)
        + f"\nOr make a bundle on such a machine (una-bench bundle {name} --out DIR), copy it here, use --bundle DIR."
    )
