"""Whether the network may be used, and what is missing where it may not: one message, with what fetches it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from una_bench.errors import UserError

SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
"""What the libraries below read when they are imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that a suite needs and this machine has not."""

    what: str
    command: str
    """What fetches it where there is a network."""
    automatic: bool = False
    """Whether it is fetched by itself where there is a network."""

    def note(self) -> str:
        """Return what to tell a user whose run starts all the same."""
        return f'Without {self.what} what needs it will be a row "not run". To fetch it: {self.command}'


def enable() -> None:
    """Forbid connections to hubs in this process and all that it starts; call it before any heavy import."""
    for name in SWITCHES:
        os.environ[name] = "1"


def is_on() -> bool:
    """Whether connections are forbidden, by `enable` or by the libraries' own switch."""
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in SWITCHES[:1])


def require_nothing_missing(needs: Iterable[Need], name: str) -> None:
    """Refuse to start a suite that would stop half-way.

    Args:
        needs: All that is missing.
        name: Of the suite.

    Raises:
        UserError: Something is missing; the message lists all of it.
    """
    found = list(needs)
    if not found:
        return
    width = max(len(need.what) for need in found)
    lines = [f"  {need.what:<{width}}  {need.command}" for need in found]
    raise UserError(
        f"The suite {name} needs what is not on this machine. Where there is a network, these commands fetch it:\n"
        + "\n".join(lines)
        + f"\nOr make a bundle there (una-bench bundle {name} --out DIR), copy it here and use --bundle DIR."
    )
