"""Floating-point operations of language models, from their shapes and the tokens they process, and of this machine.

A product of (m, k) by (k, n) is 2mkn operations. The matrix products of layers and attention are counted; norms,
activations and embedding look-ups are not, as usual (Kaplan et al. 2020, section 2.1). A backward pass costs one
forward pass for the gradients of activations and another for those of trained weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from una_bench.instruments import model_shape
from una_bench.instruments.peak_memory import synchronize

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

SECONDS = 0.3
"""Duration of the peak measurement."""
Add = Callable[[float, float], None]
"""Takes the operations of a forward and of its backward pass."""
SIZES = {"cpu": 1024, "cuda": 8192}
"""Side of the square matrices: large enough to reach the peak, small enough to repeat often."""


def matmul_peak(device: str = "cpu", precision: str = "float32", seconds: float = SECONDS) -> float:
    """Measure the fastest square matrix product within ``seconds``, in floating-point operations per second.

    It uses the process's training threads. The fastest repetition counts, since other load can only slow one down.
    """
    import torch

    size = SIZES[device.partition(":")[0]]
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    generator = torch.Generator(device).manual_seed(0)  # leaves the training's random state unchanged
    left, right = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)
    best = float("inf")
    stop = time.perf_counter() + seconds
    torch.mm(left, right, out=product)  # the first product chooses a kernel
    while best == float("inf") or time.perf_counter() < stop:
        synchronize(device)
        start = time.perf_counter()
        torch.mm(left, right, out=product)
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyCost:
    """Sizes that determine the cost of a pass through a model's body."""

    products: int
    """Weights that each token is multiplied with, adapters included; of experts, only the active ones."""
    trained: int
    """Those of ``products`` that get gradients."""
    attention: int
    """Layers times total query-head width; a token that attends to t tokens costs 4t times this."""

    def forward(self, tokens: float, attended: float) -> float:
        """Return the cost of a forward pass over ``tokens`` that attend to ``attended`` tokens in total."""
        return 2.0 * self.products * tokens + 4.0 * self.attention * attended

    def backward(self, tokens: float, attended: float) -> float:
        """Return the cost of its backward pass; attention has no weights, but two inputs to each product."""
        if not self.trained:
            return 0.0
        return 2.0 * (self.products + self.trained) * tokens + 8.0 * self.attention * attended


def attended_tokens(rows: int, new: int, cached: int = 0) -> float:
    """Return the (query, key) pairs of causal attention for ``new`` tokens per row after ``cached`` ones."""
    return rows * (new * cached + new * (new + 1) / 2)


def body_cost(model: Any) -> BodyCost:
    """Return the cost of a model's body, without its output layer, from its weights and configuration."""
    inner, body = _parts(model)
    shape = model_shape.from_config(inner.config.get_text_config())
    embeddings = {
        id(m.weight) for m in body.modules() if type(m).__name__.endswith("Embedding") and hasattr(m, "weight")
    }
    products = trained = 0
    for name, weight in body.named_parameters():
        if len(shape_of(weight)) < 2 or id(weight) in embeddings:
            continue
        size = int(math.prod(shape_of(weight)) * (shape.active_experts / shape.experts if ".experts." in name else 1.0))
        products += size
        trained += size if weight.requires_grad else 0
    return BodyCost(products=products, trained=trained, attention=shape.attention)


def shape_of(weight: Any) -> tuple[int, ...]:
    """Return the shape of a weight, of which ZeRO-3 may keep only a part in this process."""
    return tuple(getattr(weight, "ds_shape", weight.shape))


def _parts(model: Any) -> tuple[Any, Any]:
    """Return the model inside a peft wrapper, and its body without the output layer."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner, inner.base_model


def watch(probe: Probe, name: str, model: Any) -> None:
    """Count every pass through the body and the output layer of ``model``, by any caller; idempotent.

    The operations are added to the probe by pass: ``NAME.forward``, ``NAME.backward``. Padding is counted, since it is
    computed like any token. A pass with gradients is counted together with its backward pass.
    """
    inner, body = _parts(model)
    if hasattr(body.forward, "counted"):
        return
    add = partial(_add, probe, name)
    body.forward = _counted_body(add, body_cost(model), body.forward)
    body.forward.counted = True
    head = getattr(inner, "score", None)
    head = inner.get_output_embeddings() if head is None else head
    if head is not None:
        head.forward = _counted_head(add, head, head.forward)


def _add(probe: Probe, name: str, forward: float, backward: float) -> None:
    import torch

    probe.add_flops(f"{name}.forward", forward)
    if torch.is_grad_enabled():
        probe.add_flops(f"{name}.backward", backward)


def _counted_body(add: Add, shape: BodyCost, forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def counted(*args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids")
        ids = kwargs.get("inputs_embeds") if ids is None else ids
        ids = args[0] if ids is None else ids
        rows, new = ids.shape[:2]
        cache = kwargs.get("past_key_values")
        attended = attended_tokens(rows, new, cache.get_seq_length() if cache is not None else 0)
        # A mask of blocks says how many pairs it allows.
        attended = getattr(kwargs.get("attention_mask"), "attended_tokens", attended)
        add(shape.forward(rows * new, attended), shape.backward(rows * new, attended))
        return forward(*args, **kwargs)

    return counted


def _counted_head(add: Add, head: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    sizes = [(math.prod(shape_of(w)), w.requires_grad) for w in head.parameters() if len(shape_of(w)) == 2]
    size, trained = sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained)

    def count(states: Any) -> None:
        tokens = states.numel() // states.shape[-1]
        add(2.0 * size * tokens, 2.0 * (size * states.requires_grad + trained) * tokens)

    @wraps(forward)
    def counted(states: Any, *args: Any, **kwargs: Any) -> Any:
        count(states)
        return forward(states, *args, **kwargs)

    counted.count = count  # type: ignore[attr-defined]
    return counted


def count_bypass(head: Any, states: Any) -> None:
    """Count a product with the weights of ``head`` that bypasses its ``forward``, if ``head`` is watched."""
    count = getattr(head.forward, "count", None)
    if count is not None:
        count(states)


def watch_trainer(probe: Probe, trainer: Any) -> None:
    """Count the policy of a `transformers.Trainer`, and its reference model if it keeps one."""
    watch(probe, "policy", trainer.model)
    if getattr(trainer, "ref_model", None) is not None:
        watch(probe, "reference", trainer.accelerator.unwrap_model(trainer.ref_model))
