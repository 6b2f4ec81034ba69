"""Peak memory of this process, read so that a short peak is not missed.

Figures over all processes of one training; with one process they cost nothing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

STATUS_BYTES = 8192
"""More than /proc/self/status holds."""
COUNTED_LATE_BYTES = 2**20
"""What the kernel's two ways to tell the same mark differ by: one leaves out pages that a core has yet to add up."""


class Peak(NamedTuple):
    """One reading: the most that was held at once since the last reset. A tuple, because it is made at every phase."""

    bytes: int
    reserved_bytes: int | None = None
    """What the allocator had taken from an accelerator, in use or not; None on CPU, where ``bytes`` is that already."""


class PeakMeter(Protocol):
    """Reads peaks of one device."""

    how: str
    """What the figure means, for the record."""
    baseline_bytes: int
    """Held before the first model, and left out of every reading."""

    def reset(self) -> None:
        """Start a new peak from what is held now."""

    def peak(self) -> Peak:
        """Return the peak since the last reset."""

    def trim(self) -> None:
        """Hand freed memory back, so that what came before cannot hide or inflate what comes."""

    def driver_bytes(self) -> int | None:
        """Return what an accelerator's driver says is in use now."""


def resident_bytes(key: str) -> int:
    """Read one figure of this process, ``VmRSS`` (now) or ``VmHWM`` (peak since the last reset), in bytes."""
    return _figure(Path("/proc/self/status").read_bytes(), key.encode() + b":")


def _figure(status: bytes, key: bytes) -> int:
    start = status.index(key) + len(key)
    return int(status[start : status.index(b"kB", start)]) * 1024


def meter(device: str) -> PeakMeter:
    """Return the meter of ``cpu`` or of a CUDA device."""
    return ResidentMeter() if device == "cpu" else CudaMeter(device)


class ResidentMeter:
    """Resident memory of this process above what was resident after imports, from the kernel's high-water mark.

    The kernel keeps the mark itself, so nothing is sampled and no peak is too short for it. Freed memory is handed
    back before the baseline is read: else models would move into holes that the imports left, and weigh nothing.
    """

    how = (
        "resident memory of the training process above its own baseline after imports; "
        "kernel high-water mark (VmHWM), reset at every phase"
    )

    def __init__(self) -> None:
        if "tcache_count=0" in os.environ.get("GLIBC_TUNABLES", ""):
            self.how = f"{ResidentMeter.how}; malloc without caches of small blocks"
        # Kept open, because a phase must cost microseconds; opened here, because a forked process has its own.
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._marks = os.open("/proc/self/clear_refs", os.O_WRONLY)
        for descriptor in (self._status, self._marks):
            weakref.finalize(self, os.close, descriptor)
        self._trim = _malloc_trim()
        self.trim()
        self.baseline_bytes = self._read(b"VmRSS:")
        self.reset()
        # The same mark at a tenth of the time, unless a larger program ran in this process before: its mark stays.
        self._usage_is_mark = _most_resident() <= self._read(b"VmHWM:") + COUNTED_LATE_BYTES

    def _read(self, key: bytes) -> int:
        return _figure(os.pread(self._status, STATUS_BYTES, 0), key)

    def reset(self) -> None:
        """Lower the high-water mark to what is resident now."""
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
        """Return nothing: there is no driver beside the kernel."""


def _most_resident() -> int:
    """Return the larger of VmHWM and the mark of what ran in this process before it, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _malloc_trim() -> ctypes._NamedFuncPointer | None:
    """Return the call that hands freed pages back, which only glibc has."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


class CudaMeter:
    """Memory that PyTorch's allocator had in use on one device, and what it had reserved for that."""

    how = (
        "torch.cuda.max_memory_allocated in the training process above the workspaces of the matrix library; "
        "reset at every phase, device synchronized"
    )

    def __init__(self, device: str) -> None:
        import torch

        self._cuda, self._device = torch.cuda, device
        _take_workspaces(device)
        self.trim()
        self.baseline_bytes = int(self._cuda.memory_allocated(device))
        self.reset()

    def reset(self) -> None:
        """Lower both peaks to what is held now."""
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
        """Return what is in use on the device, contexts and other processes included."""
        free, total = self._cuda.mem_get_info(self._device)
        return int(total - free)


def _take_workspaces(device: str) -> None:
    """Multiply once forwards and once backwards, so that cuBLAS has what it keeps until the process ends.

    That is 32 MiB on a Hopper card for each thread that multiplies, the training's own and that of backward passes,
    whatever is trained: among the activations it would hide a small model's.
    """
    import torch

    square = torch.ones(8, 8, device=device, requires_grad=True)
    (square @ square).sum().backward()


def highest(values: Mapping[str, int]) -> dict[str, int]:
    """Return the largest value of each name over all processes; every process must ask at the same place."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return dict(values)
    found: list[dict[str, int]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(found, dict(values))
    return {name: max(part[name] for part in found if name in part) for name in sorted({n for p in found for n in p})}
