"""One training on several processes: started by torch.distributed.run's library, watched, and ended together."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from una_bench.machine import stop_request

if TYPE_CHECKING:
    from collections.abc import Mapping

GRACE_SECONDS = 10
"""Time in which the other processes of a training must end after one has failed."""
POLL_SECONDS = 0.1


class RankFailedError(Exception):
    """A process of a training failed; ``facts`` are what a worker reports of a failure."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts["reason"])
        self.facts = dict(facts)


def train(spec: Mapping[str, Any], pipe: Connection) -> dict[str, Any]:
    """Train one cell on ``spec["job"]["processes"]`` processes and return what the first of them returns.

    Raises:
        RankFailedError: A process failed or was killed; the others are ended.
        Interrupted: A stop was requested, and the training has saved its state.
    """
    with tempfile.TemporaryDirectory(prefix="una-bench-") as name:
        folder = Path(name)
        (folder / "spec.json").write_text(json.dumps({**spec, "launcher": os.getpid()}), encoding="utf-8")
        heard: dict[str, Any] = {}
        with Listener(str(folder / "socket"), "AF_UNIX", authkey=_key(folder)) as listener:
            listening = threading.Thread(target=_forward, args=(listener, pipe, heard), daemon=True)
            listening.start()
            failures = _launch(spec, folder)
            if "connected" in heard:
                listening.join(GRACE_SECONDS)
        if "done" in heard and not failures:
            return dict(heard["done"])
        if stop_request.requested() and all(code == -signal.SIGTERM for code in failures.values()):
            stop_request.check()
        raise RankFailedError(_cause(folder, failures, int(spec["job"]["processes"])))


def _key(folder: Path) -> bytes:
    """Return the key of the socket; its folder is readable for this user only."""
    return folder.name.encode()


def connect(folder: Path) -> Any:
    """Return the connection of the first process to the launcher."""
    from multiprocessing.connection import Client

    return Client(str(folder / "socket"), "AF_UNIX", authkey=_key(folder))


def _forward(listener: Listener, pipe: Connection, heard: dict[str, Any]) -> None:
    """Send on the messages of the first process, and keep its result."""
    with suppress(EOFError, OSError):
        source = listener.accept()
        heard["connected"] = True
        while True:
            kind, content = source.recv()
            if kind == "done":
                heard[kind] = content
            else:
                pipe.send((kind, content))


def _launch(spec: Mapping[str, Any], folder: Path) -> dict[int, int]:
    """Run the processes to their end, and return the exit status of each that failed."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(spec["job"]["processes"]),
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",  # a machine without a network may not resolve its own name
        max_restarts=0,
        monitor_interval=POLL_SECONDS,
        virtual_local_rank=spec["job"]["device"] != "cpu",  # each process sees its own card alone
        shutdown_timeout=GRACE_SECONDS,
    )
    failures: dict[int, int] = {}
    errors: list[BaseException] = []

    def run() -> None:
        try:
            elastic_launch(config, sys.executable)("-m", "una_bench.worker.rank", str(folder))
        except ChildFailedError as error:
            failures.update({rank: failure.exitcode for rank, failure in error.failures.items()})
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            errors.append(error)

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # Not in the main thread: there the library would take over the signals by which a run is stopped.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    asked = False
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        if stop_request.requested() and not asked:
            asked = True
            for child in psutil.Process().children():
                child.terminate()
    if errors:
        raise errors[0]
    return failures


def _cause(folder: Path, failures: Mapping[int, int], number: int) -> dict[str, Any]:
    """Return what happened first: a signal from outside, or the first error that a process reported."""
    outside = [(rank, -code) for rank, code in sorted(failures.items()) if code < 0 and -code != signal.SIGTERM]
    if outside:
        rank, code = outside[0]
        hint = ", which the kernel sends when memory runs out" if code == signal.SIGKILL else ""
        reason = f"process {rank} of {number} was killed by {signal.Signals(code).name}{hint}"
        return {"type": "Killed", "reason": reason}
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("failure-*.json"))]
    if reports:
        first = min(reports, key=lambda report: report.pop("time"))
        return {**first, "reason": f"{first['reason']} (process {first.pop('rank')} of {number})"}
    statuses = ", ".join(f"process {rank}: {code}" for rank, code in sorted(failures.items())) or "none reported"
    return {"type": "RankFailedError", "reason": f"the processes ended without a result (exit statuses: {statuses})"}
