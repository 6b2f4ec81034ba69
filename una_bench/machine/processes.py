"""Processes that train one cell together: which of them this is, and values on which all of them agree.

Everything but `join` may be called where there is one process; the collective calls then return at once. They use
gloo, whatever the training uses, so that plain numbers need no accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class _State:
    group: Any = None
    rank: int = 0
    count: int = 1


_state = _State()


def join(device: str) -> None:
    """Join the other processes, which the environment variables of ``torch.distributed.run`` name."""
    import torch.distributed as distributed

    distributed.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
    _state.group = distributed.new_group(backend="gloo")
    _state.rank, _state.count = distributed.get_rank(), distributed.get_world_size()


def leave() -> None:
    """Leave the other processes; a collective call."""
    import torch.distributed as distributed

    wait()
    distributed.destroy_process_group()
    _state.group, _state.rank, _state.count = None, 0, 1


def count() -> int:
    """Return the number of processes."""
    return _state.count


def rank() -> int:
    """Return the number of this process, from 0."""
    return _state.rank


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return _state.rank == 0


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, in their order; a collective call."""
    if _state.count == 1:
        return [value]
    import torch.distributed as distributed

    values: list[Any] = [None] * _state.count
    distributed.all_gather_object(values, value, group=_state.group)
    return values


def total(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of each number over all processes, which name the same ones; a collective call."""
    if _state.count == 1:
        return dict(counts)
    import torch

    sums = torch.tensor(list(counts.values()), dtype=torch.float64)  # whole numbers stay exact up to 2^53
    torch.distributed.all_reduce(sums, group=_state.group)
    return {name: type(value)(number) for (name, value), number in zip(counts.items(), sums.tolist(), strict=True)}


def agreed(value: Any) -> Any:
    """Return the value of the first process; a collective call."""
    return gather(value)[0]


def wait() -> None:
    """Wait for all processes; a collective call."""
    gather(None)
