"""What this machine can do at best, measured beside the training: the yardstick that two machines have in common.

Floating-point operations of language models, from their shapes and the tokens that really went through them.

A product of (m, k) by (k, n) is 2mkn operations. Counted are the layers' matrix products and those of attention;
norms, activations and embedding look-ups are not, as everyone leaves them out (Kaplan et al. 2020, section 2.1). A
backward pass costs a forward pass for the gradients of the activations, and for the weights that are trained another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides the cost of one pass through a model's body."""

    products: int
    """Weights that each token is multiplied with, adapters included; of experts only those that a token visits."""
    trained: int
    """Those of them that get gradients."""
    attention: int
    """Layers times width of all query heads: a token that attends to t tokens costs 4t of these."""

    def forward(self, tokens: float, attended: float) -> float:
        """Cost of a forward pass over ``tokens`` that attend to ``attended`` tokens in all."""
        return 2.0 * self.products * tokens + 4.0 * self.attention * attended

    def backward(self, tokens: float, attended: float) -> float:
        """Cost of the backward pass after it. Attention has no weights, but two inputs to each product."""
        if not self.trained:
            return 0.0
        return 2.0 * (self.products + self.trained) * tokens + 8.0 * self.attention * attended


def attended_tokens(rows: int, new: int, cached: int = 0) -> float:
    """Pairs of tokens in causal attention: each of ``new`` tokens a row sees those before it and itself."""
    return rows * (new * cached + new * (new + 1) / 2)


def body_shape(model: Any) -> Shape:
    """Read the shape of a model's body, without its output layer, off its weights and configuration."""
    inner, body = _parts(model)
    config = inner.config.get_text_config()
    looked_up = {id(e.weight) for e in body.modules() if _is_embedding(e)}
    products = trained = 0
    for name, weight in body.named_parameters():
        if weight.ndim < 2 or id(weight) in looked_up:
            continue
        size = int(weight.numel() * (_visited_share(config) if ".experts." in name else 1.0))
        products += size
        trained += size if weight.requires_grad else 0
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    return Shape(products=products, trained=trained, attention=config.num_hidden_layers * width)


def _parts(model: Any) -> tuple[Any, Any]:
    """Return the model inside a peft wrapper, and its body without the output layer."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner, inner.base_model


def _is_embedding(module: Any) -> bool:
    return type(module).__name__.endswith("Embedding") and hasattr(module, "weight")


def _visited_share(config: Any) -> float:
    """Share of a layer's experts that one token visits."""
    experts = next((getattr(config, n) for n in ("num_local_experts", "num_experts") if hasattr(config, n)), 0)
    return config.num_experts_per_tok / experts if experts else 1.0


class Counter:
    """Adds what models do to a probe, by model and pass: ``policy.forward``, ``policy.backward`` and so on."""

    def __init__(self, probe: Probe) -> None:
        self.add = probe.add_flops

    def watch(self, name: str, model: Any) -> None:
        """Count every pass through the body and the output layer of ``model``, however they are called.

        Padding is counted too: the machine multiplies it like any token. A pass with gradients is counted with its
        backward pass at once. A model that is watched already is left as it is.
        """
        inner, body = _parts(model)
        if hasattr(body.forward, "counted"):
            return
        body.forward = self._body(name, body_shape(model), body.forward)
        body.forward.counted = True
        head = getattr(inner, "score", None)
        head = inner.get_output_embeddings() if head is None else head
        if head is not None:
            head.forward = self._head(name, head, head.forward)

    def _body(self, name: str, shape: Shape, forward: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        @wraps(forward)
        def counted(*args: Any, **kwargs: Any) -> Any:
            ids = kwargs.get("input_ids")
            ids = kwargs.get("inputs_embeds") if ids is None else ids
            ids = args[0] if ids is None else ids
            rows, new = ids.shape[:2]
            cache = kwargs.get("past_key_values")
            attended = attended_tokens(rows, new, cache.get_seq_length() if cache is not None else 0)
            self.add(f"{name}.forward", shape.forward(rows * new, attended))
            if torch.is_grad_enabled():
                self.add(f"{name}.backward", shape.backward(rows * new, attended))
            return forward(*args, **kwargs)

        return counted

    def _head(self, name: str, head: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        size = sum(w.numel() for w in head.parameters() if w.ndim == 2)
        trained = sum(w.numel() for w in head.parameters() if w.ndim == 2 and w.requires_grad)

        def count(states: Any) -> None:
            tokens = states.numel() // states.shape[-1]
            self.add(f"{name}.forward", 2.0 * size * tokens)
            if torch.is_grad_enabled():
                self.add(f"{name}.backward", 2.0 * (size * states.requires_grad + trained) * tokens)

        @wraps(forward)
        def counted(states: Any, *args: Any, **kwargs: Any) -> Any:
            count(states)
            return forward(states, *args, **kwargs)

        counted.count = count  # type: ignore[attr-defined]
        return counted


def count_bypass(head: Any, states: Any) -> None:
    """Count a product with the weights of ``head`` that does not call it; nothing where nobody watches."""
    count = getattr(head.forward, "count", None)
    if count is not None:
        count(states)


def watch_trainer(probe: Probe, trainer: Any) -> None:
    """Count the policy of a `transformers.Trainer`, and its reference model if it keeps one."""
    counter = Counter(probe)
    counter.watch("policy", trainer.model)
    if getattr(trainer, "ref_model", None) is not None:
        counter.watch("reference", trainer.ref_model)
