"""Environment of a measurement: machine, versions, code; without host name, user name or paths."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from una_bench.machine import hardware

PACKAGES = (
    *("una-bench", "torch", "transformers", "trl", "peft"),
    *("accelerate", "datasets", "tokenizers", "lm-eval", "numpy"),
)
"""Distributions whose versions can change a result."""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Environment variables that change speed or memory."""


def describe(device: str = "cpu") -> dict[str, Any]:
    """Return this process's environment as JSON, None for unknown facts; call this in the training process."""
    import torch

    facts: dict[str, Any] = {
        **machine(),
        **code(),
        "packages": packages(),
        "python": platform.python_version(),
        "cores": len(hardware.usable_cores()) or os.cpu_count(),
        "threads": torch.get_num_threads(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    return facts if device == "cpu" else facts | _accelerator(device)


@cache
def machine() -> dict[str, Any]:
    """Return facts about processor and memory."""
    import psutil

    cpu = hardware.processor()
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "cpu": cpu.get("model name") or cpu.get("Model") or platform.processor(),
        "cpu_id": _cpu_id(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": _memory_limit(),
    }


@cache
def packages() -> dict[str, str | None]:
    """Return the version of each of `PACKAGES`, None if it is not installed."""
    return {name: package_version(name) for name in PACKAGES}


def package_version(name: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def code() -> dict[str, Any]:
    """Return the commit of una-bench's checkout and whether it is clean; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"commit": None, "clean": None}
    commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return {"commit": commit or None, "clean": None if changes is None else not changes}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_id() -> str | None:
    """Return the properties that decide kernels and order of sums: vendor, family, ..., cache, and a hash of flags.

    The name is not enough, since cloud providers use one for different processors. None if the kernel gives no flags.
    """
    cpu = hardware.processor()
    parts = [cpu[key] for key in ("vendor_id", "cpu family", "model", "stepping", "cache size") if key in cpu]
    flags = cpu.get("flags") or cpu.get("Features")
    if flags is None:
        return None
    return " ".join([*parts, hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:8]])


def _memory_limit() -> int | None:
    """Return the container's memory limit in bytes, if there is one."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _accelerator(device: str) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(device)
    return {
        "accelerator": properties.name,
        "accelerators": torch.cuda.device_count(),
        "card": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "card_links": hardware.links(hardware.cards()),
        "accelerator_memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
