"""Tasks that end in every way a worker can end; `tests/orchestration/test_process_pool.py` runs them."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from una_bench.machine import stop_request


def succeed(spec: Any, pipe: Any) -> dict[str, Any]:
    pipe.send(("say", "half way"))
    return {"answer": spec["answer"], "pid": os.getpid()}


def tell_cores(spec: Any, pipe: Any) -> dict[str, Any]:
    return {"cores": sorted(os.sched_getaffinity(0))}


def tell_card(spec: Any, pipe: Any) -> dict[str, Any]:
    time.sleep(1)  # both at once
    return {"card": os.environ.get("CUDA_VISIBLE_DEVICES")}


def crash(spec: Any, pipe: Any) -> dict[str, Any]:
    sys.stderr.write("the last words\n")
    raise ValueError("a wrong value\nwith a second line")


def run_out_of_memory(spec: Any, pipe: Any) -> dict[str, Any]:
    raise MemoryError


def kill_itself(spec: Any, pipe: Any) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def leave(spec: Any, pipe: Any) -> dict[str, Any]:
    os._exit(7)


def sleep(spec: Any, pipe: Any) -> dict[str, Any]:
    time.sleep(60)
    return {}


def hang_after_steps(spec: Any, pipe: Any) -> dict[str, Any]:
    for step in range(4):
        pipe.send(("step", {"done": 0.1, "step": step}))
        time.sleep(0.01)
    time.sleep(60)
    return {}


def wait_for_the_request(spec: Any, pipe: Any) -> dict[str, Any]:
    pipe.send(("say", "ready"))
    for _ in range(600):
        stop_request.check()
        time.sleep(0.05)
    return {}


def end_at_the_request(spec: Any, pipe: Any) -> dict[str, Any]:
    """As a process does that is asked while it still imports what would listen."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    pipe.send(("say", "ready"))
    time.sleep(30)
    return {}


def hold_memory(spec: Any, pipe: Any) -> dict[str, Any]:
    import psutil

    before = psutil.Process().memory_info().rss
    block = bytearray(spec["bytes"])
    return {"before": before, "block": len(block)}


def say_how_memory_is_read(spec: Any, pipe: Any) -> dict[str, Any]:
    from una_bench.instruments.peak_memory import ResidentMeter

    return {"how": ResidentMeter().how, "tunables": os.environ["GLIBC_TUNABLES"]}


def take_the_yardstick(spec: Any, pipe: Any) -> dict[str, Any]:
    from una_bench.instruments.probe import Probe
    from una_bench.instruments.reference_workload import Yardstick
    from una_bench.worker import first_touch

    first_touch.touch_code()
    probe = Probe()
    Yardstick().seconds()
    return {"bytes": probe.peak_bytes}
