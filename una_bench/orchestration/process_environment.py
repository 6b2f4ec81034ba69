"""Under what the processes beside a run start: environment variables and blocked signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from una_bench.machine import stop_request

ENVIRONMENT = {
    "UNA_BENCH_WARM": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL's trainers report usage when constructed
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads of one cell must not spin on the cores of another
    "OPENBLAS_NUM_THREADS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "PYTHONHASHSEED": "0",
}
MALLOC = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
"""glibc's malloc without caches of small blocks. PyTorch asks for aligned memory, and the scraps that aligning leaves
beside each tensor went into those caches: small objects took them, and the place of the freed tensor could hold no
tensor of its size again. Peaks grew by up to a fifth, by chance. Other C libraries and CUDA know nothing of it."""
UNWARNED = "ignore::UserWarning:multiprocessing.resource_tracker"
"""The tracker clears away what a killed worker left in silence: nobody can do anything about it."""


def for_workers(threads: int) -> dict[str, str]:
    """What must be in the environment before the fork server imports torch."""
    tunables = ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), MALLOC)))
    own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "GLIBC_TUNABLES": tunables}
    return {**ENVIRONMENT, **own}


def for_tracker() -> dict[str, str]:
    """What must be in the environment when Python starts its tracker of semaphores."""
    return {"PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), UNWARNED]))}


@contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables for what starts inside."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def deaf() -> Iterator[None]:
    """Keep a signal to the whole process group from ending a fork server that is only starting; it comes later."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_request.STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
