"""Log-probabilities of responses, without the logits of a whole batch.

Only states that predict a response token reach the output layer, in chunks that the backward pass recomputes. Padding
is on the right, so no real token attends to it and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from una_bench.una.batch_splitting import hidden_states
from una_bench.una.head import mean_entropy, token_logps


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Result of one pass over a batch."""

    logps: Tensor
    """log pi(y|x) of each sequence, nats, (N,)."""
    prompt_states: Tensor
    """Last hidden state of each prompt, without gradient, (N, D)."""
    entropy: Tensor | None = None
    """Mean entropy of the policy at response positions, nats, ()."""


class ResponseScorer:
    """Computes response log-probabilities of a causal language model, wrapped or not."""

    def __init__(self, model: Any, chunk: int | None = None) -> None:
        self.chunk = chunk
        self.uses_model_logits = chunk == 0 or not _head_is_last(model)
        """Whether the model computes all logits: asked for, or it transforms them (soft caps, scales)."""

    def __call__(self, model: Any, batch: Mapping[str, Any], *, inner: Any = None, entropy: bool = False) -> Scored:
        """Score a batch of `una_bench.una.examples.Examples.sequences`; ``inner`` is the model inside a wrapper."""
        inner = model if inner is None else inner
        return _through(model, inner, batch["input_ids"], lambda: self._score(inner, batch, entropy))

    def _score(self, model: Any, batch: Mapping[str, Any], entropy: bool) -> Scored:
        causal = causal_model(model)
        head, packed = causal.get_output_embeddings(), batch.get("pack")
        if self.uses_model_logits:
            inputs = {"input_ids": batch["input_ids"]} if packed is None else packed.inputs()
            out = causal(**inputs, use_cache=False, output_hidden_states=True)
            hidden_NTD, head = out.hidden_states[-1], nn.Identity()
            positions, ends = (batch["positions"], batch["prompt_ends"]) if packed is None else packed.places
            states = out.logits.flatten(0, 1)[positions]
            prompt_states = hidden_NTD.detach().flatten(0, 1)[ends]
        else:
            decoder = _decoder(causal)
            states, prompt_states = hidden_states(lambda **inputs: decoder(**inputs, use_cache=False)[0], batch)
        logps = token_logps(head, states, batch["labels"], self.chunk)
        width = int(batch["columns"].max()) + 1
        padded_NW = logps.new_zeros(len(batch["lengths"]), width)
        padded_NW = padded_NW.index_put((batch["rows"], batch["columns"]), logps)
        return Scored(
            logps=padded_NW.sum(-1),
            prompt_states=prompt_states,
            entropy=mean_entropy(head, states) if entropy else None,
        )


def causal_model(model: Any) -> Any:
    """Return the causal language model inside a peft wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _decoder(causal: Any) -> Any:
    return causal.get_decoder() if hasattr(causal, "get_decoder") else causal.base_model


@torch.no_grad()
def _head_is_last(model: Any) -> bool:
    """Return whether the logits are the output layer applied to the decoder's states, tested on a few tokens."""
    causal = causal_model(model)
    head = causal.get_output_embeddings()
    if head is None:
        return False
    was_training = model.training
    model.eval()
    vocabulary = causal.get_input_embeddings().num_embeddings
    ids = torch.arange(6, device=next(model.parameters()).device).remainder(vocabulary)[None]
    expected = causal(input_ids=ids, use_cache=False).logits
    actual = head(_decoder(causal)(input_ids=ids, use_cache=False)[0])
    model.train(was_training)
    same_shape = actual.shape == expected.shape
    return same_shape and bool(torch.allclose(actual.float(), expected.float(), rtol=1e-4, atol=1e-4))


def _through(wrapped: Any, inner: Any, ids: Tensor, work: Callable[[], Scored]) -> Scored:
    """Run ``work`` as the forward pass of ``wrapped``, so that its hooks (gradient averaging) see it."""
    if wrapped is inner:
        return work()
    replaced = inner.__dict__.get("forward")
    result: list[Scored] = []

    def restore() -> None:
        if replaced is not None:
            inner.forward = replaced
        else:
            inner.__dict__.pop("forward", None)

    def forward(*_: Any, **__: Any) -> Tensor:
        restore()
        result.append(work())
        return result[0].logps

    inner.forward = forward
    try:
        logps = wrapped(ids)
    finally:
        restore()
    return Scored(logps=logps, prompt_states=result[0].prompt_states, entropy=result[0].entropy)
