"""Stop requests to a worker: SIGTERM sets a flag, which training checks where it can stop cleanly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.process import BaseProcess
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals by which a user or a scheduler stops a run."""

_requested = False


class Interrupted(Exception):  # noqa: N818 - a state, not an error
    """Raised where work stops on request."""


def listen(*, at_once: bool = False, follow: int | None = None) -> None:
    """Treat SIGTERM as a stop request, and ignore SIGINT, which a terminal sends to every process of a run.

    This process also ends if the parent is killed: two runs must never write to the folder of one cell. ``at_once``
    raises `Interrupted` at once, for work that has nothing to save. ``follow`` is the parent of a process that was not
    started by multiprocessing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave if at_once else _request)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # blocked while the fork server started
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent, os.getppid()), daemon=True).start()
    elif follow is not None:
        threading.Thread(target=_follow_number, args=(follow,), daemon=True).start()


def _follow(parent: BaseProcess, server: int) -> None:
    """End this process as soon as the run ends, or within a second of the fork server's end."""
    while parent.is_alive() and os.getppid() == server:
        parent.join(timeout=1.0)
    os._exit(1)


def _follow_number(parent: int) -> None:
    """End this process within a second of its parent's end."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _request(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True


def _leave(number: int, frame: FrameType | None) -> None:
    _request(number, frame)
    check()


def request() -> None:
    """Request a stop: another process of this training was asked to."""
    global _requested
    _requested = True


def requested() -> bool:
    """Return whether a stop was requested."""
    return _requested


def check() -> None:
    """Raise `Interrupted` if a stop was requested."""
    if _requested:
        raise Interrupted("stopped on request")
