"""Freed memory: retained by processes that are not measured, released by measured ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from una_bench.machine import process_tuning
from una_bench.worker import entry

SMALL, LARGE = 32 * 2**20, 128 * 2**20
FREE = """
import ctypes, os, sys
from una_bench.machine import process_tuning

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1] == "keep":
    assert process_tuning.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = int(sys.argv[2])
before = held()
place = libc.malloc(size)
ctypes.memset(place, 1, size)
libc.free(place)
print(held() - before)
"""


def held_after_free(mode: str) -> int:
    command = [sys.executable, "-c", FREE, mode, str(LARGE)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and asks glibc")
def test_freed_memory_stays_in_the_process_only_where_it_is_asked_to() -> None:
    if not process_tuning.keep_freed_memory():
        pytest.skip("this C library is not glibc")
    assert held_after_free("keep") > LARGE - SMALL
    assert held_after_free("leave") < SMALL


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tuning.sys, "platform", "darwin")
    assert not process_tuning.keep_freed_memory()


@pytest.mark.parametrize(("task", "kept"), [("train", 0), ("evaluate", 1), ("prepare", 1)])
def test_only_what_is_not_measured_keeps_it(
    task: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(entry.process_tuning, "keep_freed_memory", lambda: calls.append(1))
    monkeypatch.setattr(entry.stop_request, "listen", lambda **_: None)
    monkeypatch.setattr(entry, "_redirect", lambda _: None)
    monkeypatch.setattr(entry, "_task", lambda _: lambda *_: {})
    entry.main(task, {}, Pipe(), str(tmp_path / "log"))  # type: ignore[arg-type]
    assert len(calls) == kept


class Pipe:
    """Receives a worker's messages."""

    def send(self, message: Any) -> None:
        assert message == ("done", {})
