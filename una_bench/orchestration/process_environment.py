"""Environment variables and signal mask of the processes that a run starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
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
"""glibc's malloc without caches of small blocks. PyTorch allocates aligned memory, and the remainders beside each
tensor went into those caches: small objects took them, so that the space of a freed tensor no longer fitted one of its
size. Peaks grew by up to a fifth, at random. No effect on other C libraries and CUDA."""
UNWARNED = "ignore::UserWarning:multiprocessing.resource_tracker"
"""The warning about semaphores of a killed worker is harmless: the tracker removes them."""


def for_workers(threads: int, preload: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment variables to set before the fork server imports torch and ``preload``."""
    tunables = ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), MALLOC)))
    by_threads = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "GLIBC_TUNABLES": tunables}
    return {**ENVIRONMENT, **by_threads, "UNA_BENCH_PRELOAD": ",".join(preload)}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
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
    """Block stop signals inside the context: a signal to the process group must not end a starting fork server."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_request.STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
