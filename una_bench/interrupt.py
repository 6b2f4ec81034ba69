"""How a worker is asked to stop: SIGTERM sets a flag, and training looks at it where it can stop cleanly."""

from __future__ import annotations

import signal
from types import FrameType

_requested = False


class Interrupted(Exception):  # noqa: N818 - a state, not an error
    """Raised where work stops because the user asked for it."""


def listen() -> None:
    """Take SIGTERM as a request; leave SIGINT, which a terminal sends to every process of a run, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _request)


def _request(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _requested


def check() -> None:
    """Stop here if asked to."""
    if _requested:
        raise Interrupted("stopped on request")
