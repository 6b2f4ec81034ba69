"""Sampling responses from the policy, the same whatever the number of processes that share the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from una_bench.models.decoding.growing_cache import attends_to_all, growing_cache, read_on
from una_bench.una.logprobs import causal_model

WORTH_DROPPING = 0.75
"""Share of the rows that may be left for those that are over to be dropped, which copies the cache of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int
    eos: tuple[int, ...]
    """Tokens that end a response."""
    pad: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class _Draw(LogitsProcessor):
    """Draws the token whose share of [0, 1) holds the row's number, and leaves greedy decoding nothing else to take."""

    def __init__(self, uniform_BT: Tensor, sampling: Sampling) -> None:
        self.uniform_BT, self.sampling, self.step = uniform_BT, sampling, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token_B1 = _drawn(scores, self.uniform_BT[:, self.step], self.sampling)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(-1, token_B1, 0.0)


def _drawn(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    """Return the token whose share of [0, 1) holds each row's number, (B, 1)."""
    logits_BV = _cut(logits_BV.float() / sampling.temperature, sampling)
    shares_BV = logits_BV.softmax(-1).cumsum(-1)
    number_B1 = uniform_B[:, None] * shares_BV[:, -1:]
    return torch.searchsorted(shares_BV, number_B1, right=True).clamp(max=logits_BV.shape[-1] - 1)


def _cut(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """Remove the tokens that top-k and top-p leave out."""
    if 0 < sampling.top_k < logits_BV.shape[-1]:
        least_B1 = logits_BV.topk(sampling.top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    if sampling.top_p < 1:
        ordered_BV, order_BV = logits_BV.sort(descending=True)
        before_BV = ordered_BV.softmax(-1).cumsum(-1) - ordered_BV.softmax(-1)
        out_BV = torch.zeros_like(before_BV, dtype=torch.bool).scatter_(-1, order_BV, before_BV >= sampling.top_p)
        logits_BV = logits_BV.masked_fill(out_BV, -torch.inf)
    return logits_BV


def uniform_numbers(rows: int, steps: int, seed: tuple[int, int]) -> Tensor:
    """Return numbers in [0, 1) that depend on row, step and ``seed`` (of the run, and the rollout), (rows, steps)."""
    generator = torch.Generator().manual_seed((seed[0] * 1_000_003 + seed[1]) % 2**63)
    return torch.rand(rows, steps, generator=generator)


def end_tokens(policy: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end a response: the tokenizer's, and those of the model's generation settings."""
    configured = getattr(policy.generation_config, "eos_token_id", None)
    many = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({int(token) for token in (*many, tokenizer.eos_token_id) if token is not None}))


@contextmanager
def cast_once(model: Any) -> Iterator[None]:
    """Let autocast, where it is on, keep its casts of frozen weights until it ends, as it keeps those of trained ones.

    Else it casts the whole model for each token: on a CPU that takes as long as the products. To be used without
    gradients.
    """
    on = torch.is_autocast_enabled(next(model.parameters()).device.type)
    frozen = [p for p in model.parameters() if on and p.is_floating_point() and not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@torch.no_grad()
def generate(
    model: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, uniform_BT: Tensor, batch: int
) -> list[list[int]]:
    """Sample a response to each prompt; one that ends holds its end token.

    Args:
        model: Policy, outside of any wrapper but peft's.
        prompts: Tokens of each prompt.
        sampling: How.
        uniform_BT: The random numbers, (B, T).
        batch: Prompts at the same time.
    """
    responses: list[list[int]] = []
    for start in range(0, len(prompts), batch):
        part = slice(start, start + batch)
        responses.extend(_generate(model, prompts[part], sampling, uniform_BT[part]))
    return responses


def _generate(model: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, uniform_BT: Tensor) -> list[list[int]]:
    policy = causal_model(model)
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    ids_BT = torch.tensor([[sampling.pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    real_BT = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    if attends_to_all(policy) and "logits_to_keep" in signature(policy.forward).parameters:
        return _stepwise(policy, ids_BT, real_BT, sampling, uniform_BT.to(device))
    own = policy.generation_config  # may hold penalties and cuts, which would not be samples of the policy
    policy.generation_config = GenerationConfig(eos_token_id=list(sampling.eos), pad_token_id=sampling.pad)
    try:
        out_BT = policy.generate(
            input_ids=ids_BT,
            attention_mask=real_BT,
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            logits_processor=LogitsProcessorList([_Draw(uniform_BT.to(device), sampling)]),
        )
    finally:
        policy.generation_config = own
    return [_ended(row, sampling.eos) for row in out_BT[:, width:].tolist()]


def _stepwise(policy: Any, ids_BT: Tensor, real_BT: Tensor, sampling: Sampling, uniform_BT: Tensor) -> list[list[int]]:
    """Sample as ``generate`` would, without a copy of the cache for each token and without what is over already."""
    written: list[list[int]] = [[] for _ in ids_BT]
    rows, over = list(range(len(written))), set[int]()
    cache = growing_cache(ids_BT.shape[1] + sampling.max_new_tokens - 1)
    for step in range(sampling.max_new_tokens):
        logits_BTV = read_on(policy, ids_BT, real_BT, cache, keep=1)
        ids_BT = _drawn(logits_BTV[:, -1], uniform_BT[rows, step], sampling)
        for row, token in zip(rows, ids_BT[:, 0].tolist(), strict=True):
            written[row].append(token)
            over |= {row} if token in sampling.eos else set()
        going = [i for i, row in enumerate(rows) if row not in over]
        if not going:
            break
        if len(going) <= WORTH_DROPPING * len(rows):
            kept = torch.tensor(going, device=ids_BT.device)
            cache.batch_select_indices(kept)
            rows, ids_BT, real_BT = [rows[i] for i in going], ids_BT[kept], real_BT[kept]
        real_BT = torch.cat([real_BT, torch.ones_like(ids_BT)], dim=1)
    return [_ended(row, sampling.eos) for row in written]


def _ended(tokens: list[int], eos: tuple[int, ...]) -> list[int]:
    """Cut after the first end token."""
    for place, token in enumerate(tokens):
        if token in eos:
            return tokens[: place + 1]
    return tokens
