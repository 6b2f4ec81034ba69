"""Whole weights of a model that ZeRO-3 or FSDP2 divides among processes, in each of them, for as long as they are read.

Generation reads all weights once a token. It runs on a copy that is filled once a rollout, without the engine's hooks,
which would gather and drop the weights of each layer for each token.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def is_divided(trainer: Any) -> bool:
    """Return whether each process of a `transformers.Trainer` holds only a part of the weights while it trains."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    return bool(trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3))


@torch.no_grad()
def whole(weights: Tensor) -> Tensor:
    """Return all of a tensor of which this process may have a part; a collective call."""
    if hasattr(weights, "ds_id"):
        from deepspeed import zero

        with zero.GatheredParameters([weights]):
            return weights.detach().clone()
    full = getattr(weights, "full_tensor", None)  # FSDP2's
    return weights.detach() if full is None else full().detach()


def whole_state(model: Any) -> dict[str, Tensor]:
    """Return the state dict of a model with all weights; a collective call."""
    state: Mapping[str, Tensor] = model.state_dict(keep_vars=True)
    return {name: whole(tensor) for name, tensor in state.items()}


def _drop_engine(module: nn.Module) -> None:
    """Remove what DeepSpeed put on a module before its training began: TRL computes reference log-probabilities so.

    Each pass would gather the weights of the original, from all processes, while only one of them reads the copy.
    """
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for number, hook in [*hooks.items()]:
            if hook.__module__.startswith("deepspeed."):
                del hooks[number]
    module._parameters = dict(module._parameters)


class WholeCopy:
    """A model without weights, which takes those of another for a while."""

    def __init__(self, model: Any) -> None:
        """Copy all of ``model`` but its weights, before an engine wraps it."""
        empty = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), False) for p in model.parameters()}
        self._empty = list(empty.values())
        self.model = copy.deepcopy(model, empty).eval()
        for module in self.model.modules():
            vars(module).pop("forward", None)  # a replaced forward pass would be that of the original
            _drop_engine(module)
        number = {id(p): i for i, p in enumerate(self._empty)}
        holders = ((m, name, p) for m in self.model.modules() for name, p in m._parameters.items() if p is not None)
        self._places = [(module, name, number[id(p)]) for module, name, p in holders]

    @contextmanager
    def filled(self, model: Any) -> Iterator[Any]:
        """Give the copy with the weights that ``model`` has now; a collective call."""
        self._put([nn.Parameter(whole(p), False) for p in model.parameters()])
        try:
            yield self.model
        finally:
            self._put(self._empty)

    def _put(self, weights: list[nn.Parameter]) -> None:
        for module, name, number in self._places:
            module._parameters[name] = weights[number]
