"""The offset f(x) + c of UNA Eq. 6 and its updates; docs/una.md lists what each converges to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SCORE_EPSILON = 1e-6
"""Distance from 0 and 1 to which scores are clamped before their logit is taken."""
Reduce = Callable[[Tensor], Tensor]
"""Mean of a tensor over processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The B rows of a batch that need an offset (pairs do not: it cancels)."""

    reward: Tensor
    """beta * logratio, with gradient, (B,)."""
    target: Tensor
    """Label, score in [0, 1] or (reward space) raw reward, (B,)."""
    binary: Tensor
    """Whether the target is a label, (B,)."""
    states: Tensor
    """Last hidden state of each prompt, without gradient, (B, D)."""
    group: Tensor
    """Rows with the same number share a ``prompt_mean``, (B,)."""
    log_partition: Tensor | None = None
    """log Z(x) of each prompt, nats, (B,)."""


def goal(target: Tensor, space: str) -> Tensor:
    """Return the implicit reward at which the loss is zero: logit(s), or the raw reward itself, (B,)."""
    return target if space == "reward" else target.clamp(SCORE_EPSILON, 1 - SCORE_EPSILON).logit()


def ema_constant(constant: float, gap: Tensor, rate: float) -> float:
    """Return c, moved by ``rate`` of the way to the mean of ``gap`` = goal - beta l, (B,)."""
    return constant + rate * (float(gap.mean()) - constant)


def integrated_constant(constant: float, residual: Tensor, rate: float) -> float:
    """Return c, moved by ``rate`` times the mean ``residual`` y - sigmoid(r), (B,), which is 0 at equilibrium."""
    return constant + rate * float(residual.mean())


def group_mean(values: Tensor, group: Tensor) -> Tensor:
    """Return, for each row, the mean of ``values`` over the rows of its group, (B,)."""
    numbers, inverse = group.unique(return_inverse=True)
    sums = values.new_zeros(len(numbers)).index_add(0, inverse, values)
    counts = values.new_zeros(len(numbers)).index_add(0, inverse, torch.ones_like(values))
    return (sums / counts)[inverse]


class Offset:
    """No offset (``none``); base class of the others."""

    def __call__(self, rows: Rows) -> Tensor:
        """Return f(x) + c of each row, (B,)."""
        return torch.zeros_like(rows.target)

    def observe(self, rows: Rows, reduce: Reduce) -> None:
        """Update from a training batch."""

    def step(self, learning_rate: float, reduce: Reduce, scale: float = 1.0) -> None:
        """Update after an optimizer step of the policy at ``learning_rate``; gradients are scaled by ``scale``."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""


class Ema(Offset):
    """One constant c that tracks the mean of goal - beta l; it cannot depend on the prompt."""

    def __init__(self, space: str, rate: float, residual_rate: float) -> None:
        self.space, self.rate, self.residual_rate = space, rate, residual_rate
        self.constant = 0.0

    def __call__(self, rows: Rows) -> Tensor:
        """Return c for each row, (B,)."""
        return torch.full_like(rows.target, self.constant)

    @torch.no_grad()
    def observe(self, rows: Rows, reduce: Reduce) -> None:
        """Update c from the logits of scored rows and the residuals of labeled rows."""
        reward = rows.reward.detach()
        scored, label = ~rows.binary, rows.binary
        gap = (goal(rows.target, self.space) - reward)[scored]
        residual = (rows.target - (reward + self.constant).sigmoid())[label]
        sums = reduce(torch.stack([gap.sum(), scored.sum(), residual.sum(), label.sum()]).float())
        if sums[1] > 0:
            self.constant = ema_constant(self.constant, sums[0] / sums[1], self.rate)
        if sums[3] > 0:
            self.constant = integrated_constant(self.constant, sums[2] / sums[3], self.residual_rate)

    def state_dict(self) -> dict[str, Any]:
        """Return the constant."""
        return {"constant": self.constant}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the constant of a checkpoint."""
        self.constant = float(state["constant"])


class PromptMean(Offset):
    """f(x): the mean of goal - beta l over the rows of a prompt in this batch, without gradient."""

    def __init__(self, space: str) -> None:
        self.space = space

    def __call__(self, rows: Rows) -> Tensor:
        """Return the mean of each row's group, (B,)."""
        return group_mean(goal(rows.target, self.space) - rows.reward.detach(), rows.group)


class Partition(Offset):
    """f(x) = beta log Z(x), with log Z(x) from the dataset."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, rows: Rows) -> Tensor:
        """Return beta log Z(x) of each row, (B,)."""
        if rows.log_partition is None:
            raise ValueError("offset='partition' without log_partition")
        return self.beta * rows.log_partition


class Learned(Offset):
    """f(x): a scalar head on the detached prompt state of the policy, with its own optimizer."""

    def __init__(self, width: int, multiplier: float, betas: tuple[float, float], device: torch.device) -> None:
        self.head = nn.Linear(width, 1, device=device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.multiplier = multiplier
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=0.0, betas=betas, weight_decay=0.0)

    def __call__(self, rows: Rows) -> Tensor:
        """Return the head's output for each row, (B,)."""
        with torch.autocast(rows.states.device.type, enabled=False):
            out: Tensor = self.head(rows.states.float()).squeeze(-1)
        return out

    def step(self, learning_rate: float, reduce: Reduce, scale: float = 1.0) -> None:
        """Average gradients over processes and step at a multiple of the policy's learning rate."""
        for parameter in self.head.parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad / scale
            parameter.grad = reduce(gradient)
        self.optimizer.param_groups[0]["lr"] = self.multiplier * learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the head's weights and the optimizer's state."""
        return {"head": self.head.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the head of a checkpoint."""
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])


def make_offset(args: Any, width: int, device: torch.device) -> Offset:
    """Return the offset of a `UNAConfig`; ``width`` is the hidden size."""
    if args.offset == "ema":
        return Ema(args.space, args.offset_rate, args.offset_residual_rate)
    if args.offset == "prompt_mean":
        return PromptMean(args.space)
    if args.offset == "partition":
        return Partition(args.beta)
    if args.offset == "learned":
        return Learned(width, args.offset_lr_multiplier, (args.adam_beta1, args.adam_beta2), device)
    return Offset()
