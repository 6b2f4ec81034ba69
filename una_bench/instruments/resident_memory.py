"""Calculated minimum memory of models, gradients and optimizers, in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def tensor_bytes(tensors: Iterable[Any]) -> int:
    """Return the bytes of the distinct tensors; shared ones (tied weights) count once."""
    distinct = {(t.data_ptr(), t.numel()): t.numel() * t.element_size() for t in tensors}
    return sum(distinct.values())


def module_bytes(module: Any) -> int:
    """Return the bytes of a module's parameters and buffers."""
    return tensor_bytes([*module.parameters(), *module.buffers()])


def gradient_bytes(module: Any) -> int:
    """Return the bytes of the gradients of a module, which all exist between backward and optimizer step."""
    return tensor_bytes(p for p in module.parameters() if p.requires_grad)


def optimizer_bytes(optimizer: Any) -> int:
    """Return the bytes of an optimizer's state; 0 before its first step."""
    return tensor_bytes(v for state in optimizer.state.values() for v in state.values() if hasattr(v, "data_ptr"))


def training_bytes(policy: Any, optimizer: Any, *, trained: Any = None, **beside: Any) -> dict[str, int]:
    """Return the bytes of ``weights``, ``gradients``, ``optimizer`` and other models, after an optimizer step.

    ``trained`` is the module that the optimizer trains, if that is more than the policy; ``beside`` are other models by
    role (``reference``, ``reward``, ``value``), None is skipped.
    """
    held = {
        "weights": module_bytes(policy),
        "gradients": gradient_bytes(policy if trained is None else trained),
        "optimizer": optimizer_bytes(optimizer),
    }
    return held | {name: module_bytes(model) for name, model in beside.items() if model is not None}


class ImpossibleReadingError(RuntimeError):
    """A measurement below the calculated minimum: the instrument is wrong, so the whole cell is invalid."""


def require_possible(peak_bytes: int, resident: dict[str, int]) -> None:
    """Refuse a measured peak below the sum of ``resident``, with an ImpossibleReadingError."""
    held = sum(resident.values())
    if peak_bytes < held:
        parts = ", ".join(f"{name} {size}" for name, size in resident.items())
        raise ImpossibleReadingError(f"Measured a peak of {peak_bytes} B, but {held} B must have been held ({parts}).")
