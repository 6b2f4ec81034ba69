"""A problem, a benchmark, and a method that fails in every way a training can; `plugin.py` makes them known."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from una_bench.instruments.probe import Probe
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.interfaces.problem import Problem
from una_bench.record.schema import Measurement

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [/red] {{ 7*7 }} <script>alert('x')</script> \u202egone"
"""What an error message should not be able to do: clear a terminal, break markup, run in a browser."""

LEFT: list[Any] = []
"""What a process holds when it is killed: a semaphore, as progress bars and data loaders have one."""


class Fake(Problem):
    """Nothing to learn: one file, written slowly."""

    about: ClassVar[str] = "nothing"
    drawn: ClassVar[Mapping[str, str]] = {"number": "nothing"}
    kind: Literal["fake"] = "fake"
    seconds: float = 0.0
    number: int = 0

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Leave a mark for each time that this was done."""
        say("preparing the fake")
        with (Path(os.environ.get("FAKE_MARKS", out)) / "prepared.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        (out / "data.txt").write_text("data")
        facts = {"kind": "fake", "settings": self.model_dump(), "max_prompt_length": 2, "max_new_tokens": 4}
        (out / "manifest.json").write_text(json.dumps({**facts, "counts": {}, "hashes": {}}))


class Verdict(Benchmark):
    """A benchmark that cannot judge one of the cells."""

    label = "Verdict"
    about = "fails on request"

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Fail where the training left the wish to."""
        if (checkpoint.out / "unjudgeable").exists():
            raise LookupError("no judgment")
        if (checkpoint.out / "slow").exists():
            time.sleep(2.0)
        return []


def _memory(job: Job, probe: Probe) -> None:
    bytearray(1 << 62)


def _device_memory(job: Job, probe: Probe) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has 78 GiB")


def _nan(job: Job, probe: Probe) -> None:
    probe.observe({"loss": float("nan")})


def _infinite(job: Job, probe: Probe) -> None:
    probe.observe({"loss": float("inf")})


def _crash(job: Job, probe: Probe) -> None:
    if not (job.out / "mended").exists():
        raise RuntimeError("a shape is wrong")


def _disk(job: Job, probe: Probe) -> None:
    (job.out / "state").unlink(missing_ok=True)
    (job.out / "state").symlink_to("/dev/full")
    (job.out / "state").write_bytes(b"0" * 2**20)


def _read_only(job: Job, probe: Probe) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(job.out / "state"))


def _hang(job: Job, probe: Probe) -> None:
    time.sleep(600)


def _kernel(job: Job, probe: Probe) -> None:
    LEFT.append(multiprocessing.get_context("spawn").Lock())
    print("the last line", flush=True)  # noqa: T201 - what the log keeps
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(job: Job, probe: Probe) -> None:
    os._exit(7)


def _surrogate(job: Job, probe: Probe) -> None:
    raise OSError(errno.ENOENT, "No such file", os.fsdecode(b"name\xff\x1b[31m"))


def _hostile(job: Job, probe: Probe) -> None:
    print(HOSTILE, flush=True)  # noqa: T201 - what the log keeps
    raise RuntimeError(HOSTILE)


def _unjudgeable(job: Job, probe: Probe) -> None:
    (job.out / "unjudgeable").touch()


FAILURES = {
    "memory": _memory,
    "device_memory": _device_memory,
    "nan": _nan,
    "infinite": _infinite,
    "crash": _crash,
    "disk": _disk,
    "read_only": _read_only,
    "hang": _hang,
    "kernel": _kernel,
    "leave": _leave,
    "surrogate": _surrogate,
    "hostile": _hostile,
    "unjudgeable": _unjudgeable,
}


class Breaks(Method):
    """Three steps; in the forward pass of the third, what ``how`` names."""

    label = "Breaks"
    feedback = Feedback.SCORE
    paper = "none"

    how: str = "not"
    wait: float = 0.12
    slowly_judged: bool = False

    @property
    def display(self) -> str:
        """Label with the way to fail."""
        return f"Breaks ({self.how})"

    def train(self, job: Job, probe: Probe) -> Path:
        """Train nothing."""
        for step in range(3):
            probe.begin_step()
            with probe.phase("forward"):
                if step == 2 and self.how in FAILURES:
                    FAILURES[self.how](job, probe)
                time.sleep(self.wait)
            probe.count(responses=8, prompt_tokens=8, response_tokens=16, optimizer_steps=1)
            probe.end_step()
            probe.observe({"loss": 1.0 / (step + 1)})
        if self.slowly_judged:
            (job.out / "slow").touch()
        (job.out / "checkpoint").mkdir()
        return job.out / "checkpoint"
