"""Peak memory of this process since the last reset, however short the peak, and its maximum over processes."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

STATUS_BYTES = 8192
"""Larger than /proc/self/status."""
COUNTED_LATE_BYTES = 2**20
"""Maximum difference between the kernel's two readings of one mark; one omits pages still in per-core counters."""


class Peak(NamedTuple):
    """Peak memory since the last reset. A tuple, because one is created at every phase."""

    bytes: int
    reserved_bytes: int | None = None
    """Reserved by the accelerator's allocator, in use or not; None on CPU."""


class PeakMeter(Protocol):
    """Reads peaks of one device."""

    how: str
    """How the reading is taken, for the record."""
    baseline_bytes: int
    """Held before the first model; subtracted from every reading."""

    def reset(self) -> None:
        """Start a new peak at the current usage."""

    def peak(self) -> Peak:
        """Return the peak since the last reset."""

    def trim(self) -> None:
        """Release freed memory, so that earlier allocations neither hide nor inflate later ones."""

    def driver_bytes(self) -> int | None:
        """Return the memory in use by the accelerator's driver's count."""


def meter(device: str) -> PeakMeter:
    """Return the meter of ``cpu`` or of a CUDA device."""
    return ResidentMeter() if device == "cpu" else CudaMeter(device)


class ResidentMeter:
    """Resident memory of this process above the baseline after imports, from the kernel's high-water mark.

    The kernel maintains the mark, so no peak is too short. Freed memory is released before the baseline is read:
    otherwise models would fill holes left by the imports and seem to take no memory.
    """

    how = (
        "resident memory of the training process above its own baseline after imports; "
        "kernel high-water mark (VmHWM), reset at every phase"
    )

    def __init__(self) -> None:
        if "tcache_count=0" in os.environ.get("GLIBC_TUNABLES", ""):
            self.how = f"{ResidentMeter.how}; malloc without caches of small blocks"
        # Kept open, because a phase must cost microseconds; opened here, because a forked process needs its own.
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._marks = os.open("/proc/self/clear_refs", os.O_WRONLY)
        for descriptor in (self._status, self._marks):
            weakref.finalize(self, os.close, descriptor)
        try:  # glibc's call that releases freed pages
            self._trim: Any = ctypes.CDLL(None).malloc_trim
        except (OSError, AttributeError):  # another C library
            self._trim = None
        self.trim()
        self.baseline_bytes = self._read(b"VmRSS:")
        self.reset()
        # getrusage reads the same mark in a tenth of the time, but is not reset: a larger program may have run before.
        self._usage_is_mark = _most_resident() <= self._read(b"VmHWM:") + COUNTED_LATE_BYTES

    def _read(self, key: bytes) -> int:
        status = os.pread(self._status, STATUS_BYTES, 0)
        start = status.index(key) + len(key)
        return int(status[start : status.index(b"kB", start)]) * 1024

    def reset(self) -> None:
        """Lower the high-water mark to the current resident memory."""
        os.pwrite(self._marks, b"5", 0)

    def peak(self) -> Peak:
        """Return the high-water mark above the baseline."""
        mark = _most_resident() if self._usage_is_mark else self._read(b"VmHWM:")
        return Peak(mark - self.baseline_bytes if mark > self.baseline_bytes else 0)

    def trim(self) -> None:
        """Collect garbage and return freed pages to the kernel."""
        gc.collect()
        if self._trim is not None:
            self._trim(0)

    def driver_bytes(self) -> None:
        """Return None: a CPU has no driver."""


def synchronize(device: str) -> None:
    """Wait for the work queued on an accelerator."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


def _most_resident() -> int:
    """Return the larger of VmHWM and the mark of earlier programs in this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class CudaMeter:
    """Memory that PyTorch's allocator had in use and reserved on one device."""

    how = (
        "torch.cuda.max_memory_allocated in the training process above the workspaces of the matrix library; "
        "reset at every phase, device synchronized"
    )

    def __init__(self, device: str) -> None:
        import torch

        self._cuda, self._device = torch.cuda, device
        # One product forward and backward makes cuBLAS allocate its permanent workspaces before the baseline. On a
        # Hopper GPU they take 32 MiB for each of two threads (forward and backward), more than a small model.
        square = torch.ones(8, 8, device=device, requires_grad=True)
        (square @ square).sum().backward()
        self.trim()
        self.baseline_bytes = int(self._cuda.memory_allocated(device))
        self.reset()

    def reset(self) -> None:
        """Lower both peaks to the current usage."""
        self._cuda.synchronize(self._device)
        self._cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> Peak:
        """Return both peaks since the last reset."""
        self._cuda.synchronize(self._device)
        return Peak(
            bytes=int(self._cuda.max_memory_allocated(self._device)) - self.baseline_bytes,
            reserved_bytes=int(self._cuda.max_memory_reserved(self._device)),
        )

    def trim(self) -> None:
        """Return the allocator's unused blocks to the device."""
        gc.collect()
        self._cuda.empty_cache()

    def driver_bytes(self) -> int | None:
        """Return the memory in use on the device, contexts and other processes included."""
        free, total = self._cuda.mem_get_info(self._device)
        return int(total - free)


def highest(values: Mapping[str, int]) -> dict[str, int]:
    """Return the largest value of each name over all processes; a collective call."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return dict(values)
    gathered: list[dict[str, int]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(gathered, dict(values))
    names = sorted({name for part in gathered for name in part})
    return {name: max(part[name] for part in gathered if name in part) for name in names}
