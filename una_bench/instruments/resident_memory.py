"""Arithmetic of memory: bytes that models, gradients and optimizers cannot do without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def tensor_bytes(tensors: Iterable[Any]) -> int:
    """Bytes of the distinct tensors; one that two modules share (tied weights) counts once."""
    distinct = {(t.data_ptr(), t.numel()): t.numel() * t.element_size() for t in tensors}
    return sum(distinct.values())


def module_bytes(module: Any) -> int:
    """Bytes of the parameters and buffers of a module."""
    return tensor_bytes([*module.parameters(), *module.buffers()])


def gradient_bytes(module: Any) -> int:
    """Bytes of the gradients of what is trainable, which all exist between backward and optimizer step."""
    return tensor_bytes(p for p in module.parameters() if p.requires_grad)


def optimizer_bytes(optimizer: Any) -> int:
    """Bytes of the state that an optimizer keeps from step to step; empty before its first step."""
    return tensor_bytes(v for state in optimizer.state.values() for v in state.values() if hasattr(v, "data_ptr"))


def training_bytes(policy: Any, optimizer: Any, *, trained: Any = None, **beside: Any) -> dict[str, int]:
    """Account for one training: call it when the optimizer has stepped and the models are still there.

    Args:
        policy: The policy, adapters included.
        optimizer: The optimizer of everything that is trained.
        trained: What the optimizer trains, where that is more than the policy.
        beside: Models beside the policy by what they are (``reference``, ``reward``, ``value``); None is left out.

    Returns:
        Bytes of ``weights``, ``gradients``, ``optimizer`` and of each model beside the policy.
    """
    held = {
        "weights": module_bytes(policy),
        "gradients": gradient_bytes(policy if trained is None else trained),
        "optimizer": optimizer_bytes(optimizer),
    }
    return held | {name: module_bytes(model) for name, model in beside.items() if model is not None}


class ImpossibleReadingError(RuntimeError):
    """A measurement that arithmetic rules out: the instrument is wrong, and so is every figure of the cell."""


def require_possible(peak_bytes: int, resident: dict[str, int]) -> None:
    """Refuse a measured peak that is smaller than what must have been held at one time.

    Raises:
        ImpossibleReadingError: The peak is below the sum of ``resident``.
    """
    held = sum(resident.values())
    if peak_bytes < held:
        parts = ", ".join(f"{name} {size}" for name, size in resident.items())
        raise ImpossibleReadingError(f"Measured a peak of {peak_bytes} B, but {held} B must have been held ({parts}).")
