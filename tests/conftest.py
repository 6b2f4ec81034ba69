"""A small prepared folder and a job on it, shared by every test that trains."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many tests run at once as there are cores

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C, and so would runs
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.append(str(Path(__file__).parent))  # for tiny_world; pytest's importlib mode leaves the path alone

import pytest
from tiny_world import write_tiny_prepared

from una_bench.method import Job


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder with policy, reward model, 32 pairs and prompts; read only."""
    return write_tiny_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def tiny_job(tiny_prepared: Path, tmp_path: Path) -> Job:
    """Eight optimiser steps of eight responses on `tiny_prepared`."""
    out = tmp_path / "cell"
    out.mkdir()
    return Job(
        prepared=tiny_prepared,
        out=out,
        seed=0,
        budget_responses=64,
        batch_responses=8,
        max_prompt_length=2,
        max_new_tokens=4,
    )
