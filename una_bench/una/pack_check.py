"""Models that can take packs: found by their settings, and by a comparison on a few tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from una_bench.una import packed_attention  # noqa: F401  # registers the attention that reads packs
from una_bench.una.prompt_sharing import pack

UNLIMITED = 2**31
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest difference of a log-probability, absolute or relative, by the dtype of the weights."""
LOW_TOLERANCE = 0.05
PROMPT, RESPONSES = 5, (3, 6, 4, 2)
"""Tokens of the two prompts, and of their responses, of the comparison."""
logger = logging.getLogger(__name__)


def longest_packed(model: Any, score: Callable[[Mapping[str, Any]], Tensor]) -> tuple[int, str]:
    """Return the longest sequence that a pack may hold with this causal language model, tokens; 0 and why, if none.

    ``score`` returns the log-probabilities of a batch, (N,). Windows of attention limit the length, because a group of
    a pack is longer than its sequences.
    """
    reason = _obstacle(model) or _difference(model, score)
    if reason:
        logger.warning("Each response is computed with its own copy of its prompt, because %s.", reason)
        return 0, reason
    config = model.config.get_text_config()
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return min((int(window) for window in windows if window), default=UNLIMITED), ""


def _obstacle(model: Any) -> str:
    implementation = model.config.get_text_config()._attn_implementation
    if implementation != "sdpa":
        return f"the model's attention implementation is {implementation!r}, not 'sdpa'"
    if torch.device(model.device).type != "cpu":
        return "the model is on an accelerator, where packs are not supported"
    # With dropout, responses that share a prompt would share its draws too.
    return "the model has dropout" if any(rate > 0 for rate in _dropout_rates(model)) else ""


def _dropout_rates(model: Any) -> Iterator[float]:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            yield module.p
        for name in ("attention_dropout", "dropout"):
            rate = getattr(module, name, None)
            if isinstance(rate, int | float):
                yield float(rate)


@torch.no_grad()
def _difference(model: Any, score: Callable[[Mapping[str, Any]], Tensor]) -> str:
    """Return "" if packed and separate sequences have the same log-probabilities, else a reason with the difference."""
    from una_bench.una.examples import batch_of

    vocabulary = model.get_input_embeddings().num_embeddings
    tokens = np.random.default_rng(0).integers(0, vocabulary, (len(RESPONSES), PROMPT + max(RESPONSES)))
    tokens[1, :PROMPT], tokens[3, :PROMPT] = tokens[0, :PROMPT], tokens[2, :PROMPT]
    lengths, prompts = PROMPT + np.asarray(RESPONSES), np.full(len(RESPONSES), PROMPT)
    batch = batch_of(tokens, prompts, lengths)
    was_training = model.training
    model.eval()
    try:
        plain, packed = score(batch).double(), score(batch | {"pack": pack(tokens, prompts, lengths)}).double()
    except (RuntimeError, TypeError, ValueError) as error:
        return f"the model does not take packs ({type(error).__name__}: {error})"
    finally:
        model.train(was_training)
    tolerance = TOLERANCE.get(model.dtype, LOW_TOLERANCE)
    if torch.allclose(plain, packed, rtol=tolerance, atol=tolerance):
        return ""
    return f"log-probabilities of a pack differ by {float((plain - packed).abs().max()):.2g} with this model"
