"""Fixed reference workload similar to one step of a small model, as a unit of step time where Python dominates.

A matrix product measures only how fast a machine multiplies. A step of a small model is a thousand Python calls and
small kernels, whose speed differs. The workload uses no trainer code, so a slower trainer does not slow it down.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from una_bench.instruments import run_queue
from una_bench.instruments.peak_memory import synchronize

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, BATCH, TOKENS, VOCABULARY = 64, 16, 6, 32
LAYERS = 2
WORDS = 400
"""Iterations of the plain Python loop, about a fifth of the workload."""


class Yardstick:
    """Forward, backward and update of two layers, then plain Python; the same arithmetic each time."""

    def __init__(self, device: str = "cpu") -> None:
        """Create the weights without changing the training's random state."""
        import torch

        self.device = device
        self._queue = run_queue.queue_clock()
        generator = torch.Generator(device).manual_seed(0)

        def weight(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, device=device).mul_(0.1).requires_grad_()

        self.embedding = weight(VOCABULARY, WIDTH)
        self.layers = [[weight(WIDTH, WIDTH) for _ in range(4)] for _ in range(LAYERS)]
        self.weights = [self.embedding, *(w for layer in self.layers for w in layer)]
        self.ids_BT = torch.arange(BATCH * TOKENS, device=device).view(BATCH, TOKENS).remainder(VOCABULARY)

    def seconds(self) -> float:
        """Run the workload once and return its time, waits for a core excluded."""
        synchronize(self.device)
        queued = self._queue() if self._queue else 0.0
        start = time.perf_counter()
        self._compute()
        parts: dict[str, Any] = {}
        for i in range(WORDS):
            parts[f"{i % 97}.{i % 7}"] = (i, [i, i + 1], {"of": i})
        _ = {name: sum(part[1]) for name, part in sorted(parts.items())}
        synchronize(self.device)
        taken = time.perf_counter() - start
        return max(taken - ((self._queue() - queued) if self._queue else 0.0), 1e-9)

    def _compute(self) -> None:
        import torch
        from torch.nn import functional

        with torch.enable_grad():
            states_BTD = self.embedding[self.ids_BT]
            for query, key, value, inner in self.layers:
                normed = functional.layer_norm(states_BTD, (WIDTH,))
                scores_BTT = (normed @ query) @ (normed @ key).transpose(1, 2)
                states_BTD = states_BTD + scores_BTT.softmax(-1) @ (normed @ value)
                states_BTD = states_BTD + functional.gelu(states_BTD @ inner)
            logits = (states_BTD @ self.embedding.T).flatten(0, 1)
            gradients = torch.autograd.grad(functional.cross_entropy(logits, self.ids_BT.flatten()), self.weights)
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.add_(gradient.mul(2.0).addcmul_(gradient, gradient), alpha=0.0)  # unchanged
