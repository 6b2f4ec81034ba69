"""Sampling of responses from the policy, independent of the number of processes."""

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

DROP_THRESHOLD = 0.75
"""Finished rows are dropped once at most this share is unfinished; dropping copies the cache of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling settings."""

    max_new_tokens: int
    eos: tuple[int, ...]
    """Tokens that end a response."""
    pad: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class _Draw(LogitsProcessor):
    """Samples by inverse CDF from given uniform numbers, and masks all other tokens for greedy decoding."""

    def __init__(self, uniform_BT: Tensor, sampling: Sampling) -> None:
        self.uniform_BT, self.sampling, self.step = uniform_BT, sampling, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token_B1 = drawn(scores, self.uniform_BT[:, self.step], self.sampling)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(-1, token_B1, 0.0)


def drawn(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    """Return the token of each row, sampled by inverse CDF from its uniform number, (B, 1)."""
    logits_BV = _cut(logits_BV.float() / sampling.temperature, sampling)
    shares_BV = logits_BV.softmax(-1).cumsum(-1)
    number_B1 = uniform_B[:, None] * shares_BV[:, -1:]
    return torch.searchsorted(shares_BV, number_B1, right=True).clamp(max=logits_BV.shape[-1] - 1)


def _cut(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """Mask the tokens that top-k and top-p exclude."""
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
    """Return uniform numbers for ``seed`` (run seed, rollout number), (rows, steps), in [0, 1)."""
    generator = torch.Generator().manual_seed((seed[0] * 1_000_003 + seed[1]) % 2**63)
    return torch.rand(rows, steps, generator=generator)


def end_tokens(policy: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end a response: the tokenizer's EOS and those of the generation config."""
    configured = getattr(policy.generation_config, "eos_token_id", None)
    many = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({int(token) for token in (*many, tokenizer.eos_token_id) if token is not None}))


@contextmanager
def cast_once(model: Any) -> Iterator[None]:
    """Let autocast cache its casts of frozen weights too, as it does for trainable ones; use without gradients.

    Otherwise it casts the whole model for each token, which on a CPU takes as long as the matrix products.
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
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    uniform_BT: Tensor,
    batch: int,
    sampler: str = "una",
) -> list[list[int]]:
    """Sample a response to each prompt, end token included, with a model that has no wrapper except peft's.

    ``sampler`` is ``una``, where the model allows it, or ``transformers``; both turn the same numbers into tokens.
    """
    policy = causal_model(model)
    stepwise = attends_to_all(policy) and "logits_to_keep" in signature(policy.forward).parameters
    sample = _stepwise if sampler == "una" and stepwise else _by_transformers
    responses: list[list[int]] = []
    for start in range(0, len(prompts), batch):
        part = slice(start, start + batch)
        responses.extend(sample(policy, prompts[part], sampling, uniform_BT[part].to(policy.device)))
    return [_ended(response, sampling.eos) for response in responses]


def _padded(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the prompts' token ids, padded on the left, and 1 where they are no padding, (B, T) both."""
    width = max(map(len, prompts))
    ids_BT = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    return ids_BT, torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)


def _by_transformers(
    policy: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, uniform_BT: Tensor
) -> list[list[int]]:
    """Sample with the model's own ``generate``."""
    ids_BT, real_BT = _padded(prompts, sampling.pad, uniform_BT.device)
    original_config = policy.generation_config  # its penalties or top-k would change the distribution
    policy.generation_config = GenerationConfig(eos_token_id=list(sampling.eos), pad_token_id=sampling.pad)
    try:
        out_BT = policy.generate(
            input_ids=ids_BT,
            attention_mask=real_BT,
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            logits_processor=LogitsProcessorList([_Draw(uniform_BT, sampling)]),
        )
    finally:
        policy.generation_config = original_config
    written: list[list[int]] = out_BT[:, ids_BT.shape[1] :].tolist()
    return written


def _stepwise(policy: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, uniform_BT: Tensor) -> list[list[int]]:
    """Sample as ``generate`` does, without copying the cache for each token and without finished rows.

    Rows with the same prompt share its prefill.
    """
    different: dict[tuple[int, ...], int] = {}
    prompt_of = [different.setdefault(tuple(prompt), len(different)) for prompt in prompts]
    ids_BT, real_BT = _padded(list(different), sampling.pad, uniform_BT.device)
    written: list[list[int]] = [[] for _ in prompts]
    rows, finished = list(range(len(written))), set[int]()
    cache = growing_cache(ids_BT.shape[1] + sampling.max_new_tokens - 1)
    for step in range(sampling.max_new_tokens):
        logits_BV = read_on(policy, ids_BT, real_BT, cache, keep=1)[:, -1]
        if len(logits_BV) < len(rows):
            places = torch.tensor(prompt_of, device=ids_BT.device)
            cache.batch_select_indices(places)
            logits_BV, real_BT = logits_BV[places], real_BT[places]
        ids_BT = drawn(logits_BV, uniform_BT[rows, step], sampling)
        for row, token in zip(rows, ids_BT[:, 0].tolist(), strict=True):
            written[row].append(token)
            finished |= {row} if token in sampling.eos else set()
        unfinished = [i for i, row in enumerate(rows) if row not in finished]
        if not unfinished:
            break
        if len(unfinished) <= DROP_THRESHOLD * len(rows):
            kept = torch.tensor(unfinished, device=ids_BT.device)
            cache.batch_select_indices(kept)
            rows, ids_BT, real_BT = [rows[i] for i in unfinished], ids_BT[kept], real_BT[kept]
        real_BT = torch.cat([real_BT, torch.ones_like(ids_BT)], dim=1)
    return written


def _ended(tokens: list[int], eos: tuple[int, ...]) -> list[int]:
    """Truncate after the first end token."""
    return tokens[: next((length for length, token in enumerate(tokens, 1) if token in eos), None)]
