"""How a worker is asked to stop: SIGTERM sets a flag, and training looks at it where it can stop cleanly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals by which a user or a scheduler asks a run to stop."""

_requested = False


class Interrupted(Exception):  # noqa: N818 - a state, not an error
    """Raised where work stops because the user asked for it."""


def listen(*, at_once: bool = False) -> None:
    """Take SIGTERM as a request; leave SIGINT, which a terminal sends to every process of a run, to the parent.

    Where the parent is killed, this process ends too: two runs must never write into the folder of one cell.

    Args:
        at_once: Raise `Interrupted` wherever the work is, for work that has nothing to save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave if at_once else _request)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # blocked while the fork server started
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent, os.getppid()), daemon=True).start()


def _follow(parent: BaseProcess, server: int) -> None:
    """End this process as soon as the run is gone, or within a second of the fork server's end."""
    while parent.is_alive() and os.getppid() == server:
        parent.join(timeout=1.0)
    os._exit(1)


def _request(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True


def _leave(number: int, frame: FrameType | None) -> None:
    _request(number, frame)
    check()


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _requested


def check() -> None:
    """Stop here if asked to."""
    if _requested:
        raise Interrupted("stopped on request")
