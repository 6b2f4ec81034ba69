"""Output layer on response positions only, in chunks of logits that the backward pass recomputes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from una_bench.instruments.flops import count_bypass
from una_bench.una.losses import wide
from una_bench.una.product_sizes import filled

SMALL_LOGITS = 2**20
"""Up to this many logits per batch are kept for the backward pass; recomputing them would cost more."""
CHUNK_LOGITS = 2**23
"""Default logits per chunk: 32 MiB of float32."""


def pick(logits_CV: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each label (C,) and the log-sum-exp of each row of logits (C,)."""
    lse = logits_CV.logsumexp(-1)
    return logits_CV.gather(-1, labels[:, None]).squeeze(-1) - lse, lse


def _delta(logits_CV: Tensor, lses: Tensor, labels: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of the logits (C, V), in their place, from that of the log-probability of each label (C,)."""
    delta_CV = logits_CV.sub_(lses[:, None]).exp_().mul_(-grad[:, None])
    return delta_CV.scatter_add_(-1, labels[:, None], grad[:, None])


class _ChunkedLinear(torch.autograd.Function):
    """log softmax(W h + b)[label] of each state, in chunks.

    The backward pass recomputes each chunk's logits if weights learn. With frozen weights the gradient of a state is
    known up to a factor as soon as its logits are, and they are computed once.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, chunk: int) -> Tensor:
        device = states.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        out = states.new_empty(len(states), dtype=torch.float64 if low == torch.float64 else torch.float32)
        lses = torch.empty_like(out)
        needs_states, *learns = ctx.needs_input_grad[:3]
        unit_states = torch.empty_like(states) if needs_states and not any(learns) else None
        with torch.autocast(device, enabled=False):
            weight_low = weight.to(low)
            bias_low = None if bias is None else bias.to(low)
            for start in range(0, len(states), chunk):
                part = slice(start, start + chunk)
                logits_CV = wide(nn.functional.linear(states[part].to(low), weight_low, bias_low))
                out[part], lses[part] = pick(logits_CV, labels[part])
                if unit_states is not None:
                    delta_CV = _delta(logits_CV, lses[part], labels[part], torch.ones_like(lses[part]))
                    unit_states[part] = delta_CV.to(low) @ weight_low
        kept = (states, weight, bias, labels, lses) if unit_states is None else (unit_states,)
        ctx.save_for_backward(*kept)
        ctx.chunk, ctx.low = chunk, low
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if len(ctx.saved_tensors) == 1:
            (unit_states,) = ctx.saved_tensors
            return (unit_states * grad[:, None]).to(unit_states.dtype), None, None, None, None
        states, weight, bias, labels, lses = ctx.saved_tensors
        low = ctx.low
        needs_states, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_states = torch.empty_like(states) if needs_states else None
        grad_weight = torch.zeros_like(weight, dtype=lses.dtype) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=lses.dtype) if needs_bias and bias is not None else None
        weight_low, bias_low = weight.to(low), None if bias is None else bias.to(low)
        for start in range(0, len(states), ctx.chunk):
            part = slice(start, start + ctx.chunk)
            states_low = states[part].to(low)
            logits_CV = wide(nn.functional.linear(states_low, weight_low, bias_low))
            delta_CV = _delta(logits_CV, lses[part], labels[part], grad[part])
            if grad_bias is not None:
                grad_bias += delta_CV.sum(0)
            delta_low = delta_CV.to(low)
            if grad_states is not None:
                grad_states[part] = delta_low @ weight_low
            if grad_weight is not None:
                grad_weight += delta_low.T @ states_low
        return (
            grad_states,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None or bias is None else grad_bias.to(bias.dtype),
            None,
            None,
        )


def token_logps(head: nn.Module, states: Tensor, labels: Tensor, chunk: int | None = None) -> Tensor:
    """Return the log-probability of each label (M,) under the output layer, nats, at least float32, (M,).

    The head maps the states (M, D) that predict the labels to V logits; a plain linear layer has a custom backward
    pass. The logits of ``chunk`` states are in memory at once; None: chosen by vocabulary size; 0: those of all states
    are kept for the backward pass.
    """
    count, states, labels = len(labels), filled(states), filled(labels)
    return _token_logps(head, states, labels, chunk)[:count]


def _token_logps(head: nn.Module, states: Tensor, labels: Tensor, chunk: int | None) -> Tensor:
    if chunk == 0:
        return pick(wide(head(states)), labels)[0]
    weight = getattr(head, "weight", None)
    vocabulary = len(weight) if isinstance(weight, Tensor) else int(getattr(head, "out_features", 2**15))
    if chunk is None and len(states) * vocabulary <= SMALL_LOGITS:
        return pick(wide(head(states)), labels)[0]
    chunk = chunk or max(64, CHUNK_LOGITS // vocabulary)
    if type(head) is nn.Linear and not hasattr(head.weight, "ds_id"):  # ZeRO-3 gathers weights only in module calls
        count_bypass(head, states)
        out: Tensor = _ChunkedLinear.apply(states, head.weight, head.bias, labels, chunk)
        return out

    def piece(states_CD: Tensor, labels_C: Tensor) -> Tensor:
        return pick(wide(head(states_CD)), labels_C)[0]

    pieces = zip(states.split(chunk), labels.split(chunk), strict=True)
    return torch.cat([checkpoint(piece, s, y, use_reentrant=False) for s, y in pieces])


@torch.no_grad()
def mean_entropy(head: nn.Module, states: Tensor, chunk: int | None = None) -> Tensor:
    """Return the mean entropy of the next-token distribution over states (M, D), nats, ()."""
    total = torch.zeros((), device=states.device)
    for part in states.detach().split(chunk or 256):
        logp_CV = wide(head(filled(part)))[: len(part)].log_softmax(-1)
        total -= (logp_CV.exp() * logp_CV).sum().float()
    return total / max(1, len(states))
