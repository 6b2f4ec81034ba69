"""What this machine can do at best, measured beside the training: the yardstick that two machines have in common."""

from __future__ import annotations

import time
from typing import Any

SECONDS = 0.3
"""How long products are repeated."""
SIZES = {"cpu": 1024, "cuda": 8192}
"""Side of the square matrices: large enough to reach the peak, small enough for many repetitions."""


def matmul_peak(device: str = "cpu", precision: str = "float32", seconds: float = SECONDS) -> float:
    """Measure the fastest square matrix product, in floating-point operations per second.

    Uses the threads that the process trains with. The best of all repetitions counts: whatever else runs on the
    machine can only slow a product down.

    Args:
        device: ``cpu`` or a CUDA device.
        precision: ``float32`` or ``bfloat16``, the precision of the products in training.
        seconds: Wall time to spend; one product is made at least.
    """
    import torch

    kind = device.partition(":")[0]
    size = SIZES[kind]
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    left, right = (torch.randn(size, size, device=device, generator=_own(device)).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)
    best = float("inf")
    stop = time.perf_counter() + seconds
    torch.mm(left, right, out=product)  # the first product chooses a kernel
    while best == float("inf") or time.perf_counter() < stop:
        _wait(kind)
        start = time.perf_counter()
        torch.mm(left, right, out=product)
        _wait(kind)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _own(device: str) -> Any:
    """A generator of its own: calibrating must not move the random state of a training."""
    import torch

    return torch.Generator(device).manual_seed(0)


def _wait(kind: str) -> None:
    if kind != "cpu":
        import torch

        torch.cuda.synchronize()
