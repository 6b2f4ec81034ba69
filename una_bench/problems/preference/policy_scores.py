"""Log-probabilities of given responses, samples of a policy, and their KL to the reference, without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from una_bench.models.decoding.shared_prefix import Reader, can_share
from una_bench.una.logprobs import causal_model

Ids = Sequence[int]
TOKENS_AT_ONCE = 2048
"""Padded tokens per forward pass, which limits the memory of logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sampled response."""

    prompt_ids: list[int]
    completion_ids: list[int]
    ended: bool
    """Whether it ends with an end token instead of at the length limit."""


def log_probabilities(model: Any, prompts: Sequence[Ids], completions: Sequence[Ids]) -> list[float]:
    """Return log π(completion | prompt) of each pair, nats; shared prompts are read once if the model allows."""
    out = [0.0] * len(prompts)
    if can_share(model):
        for place, logp_CV in Reader(model, torch.float32).continuations(list(zip(prompts, completions, strict=True))):
            labels_C = torch.tensor(list(completions[place]), device=logp_CV.device)
            out[place] = float(logp_CV.gather(-1, labels_C[:, None]).double().sum())
        return out
    for places, logps_NV, labels_N, rows_N in _response_logits(model, prompts, completions):
        chosen_N = logps_NV.gather(-1, labels_N[:, None])[:, 0]
        sums = torch.zeros(len(places), dtype=torch.float64, device=chosen_N.device)
        sums.index_add_(0, rows_N, chosen_N.double())
        for place, value in zip(places, sums.tolist(), strict=True):
            out[place] = value
    return out


def divergences(model: Any, reference: Any, prompts: Sequence[Ids], completions: Sequence[Ids]) -> list[float]:
    """Return the KL from the reference along each completion, nats.

    It is the sum over tokens of KL(π(·|x, y<t) ‖ π_ref(·|x, y<t)) over the whole vocabulary. For completions sampled
    from the policy its mean is an unbiased, non-negative estimate of KL(π ‖ π_ref), with less variance than the
    log-ratio of the sampled tokens.
    """
    out = [0.0] * len(prompts)
    ours = _response_logits(model, prompts, completions)
    theirs = _response_logits(reference, prompts, completions)
    for (places, logp_NV, _, rows_N), (_, logp_reference_NV, _, _) in zip(ours, theirs, strict=True):
        kl_N = (logp_NV.exp() * (logp_NV - logp_reference_NV)).sum(-1)
        sums = torch.zeros(len(places), dtype=torch.float64, device=kl_N.device).index_add_(0, rows_N, kl_N.double())
        for place, value in zip(places, sums.tolist(), strict=True):
            out[place] = value
    return out


def sample(model: Any, tokenizer: Any, prompts: Sequence[Ids], *, max_new_tokens: int, seed: int) -> list[Sample]:
    """Sample one response per prompt at temperature 1, with the same random numbers for every model."""
    from una_bench.una.generation import Sampling, end_tokens, generate, uniform_numbers

    ends = end_tokens(model, tokenizer)
    sampling = Sampling(max_new_tokens=max_new_tokens, eos=ends, pad=int(tokenizer.pad_token_id))
    numbers_BT = uniform_numbers(len(prompts), max_new_tokens, (seed, 0))
    prompt_ids = [list(map(int, prompt)) for prompt in prompts]
    completions = generate(model, prompt_ids, sampling, numbers_BT, batch=max(1, len(prompt_ids)))
    return [
        Sample(prompt_ids=p, completion_ids=c, ended=bool(c) and c[-1] in ends)
        for p, c in zip(prompt_ids, completions, strict=True)
    ]


def _response_logits(
    model: Any, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """Yield per batch: indices of the pairs, log-probabilities at their N response tokens (N, V), the tokens (N,), and
    the row of each token in the batch (N,).

    Padding is on the right, where no other token attends to it.
    """
    whole = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    cuts = "logits_to_keep" in signature(causal_model(model).forward).parameters
    for places in _batches([len(ids) for ids in whole]):
        width = len(whole[places[0]])
        ids_BT = torch.tensor([whole[i] + [0] * (width - len(whole[i])) for i in places], device=model.device)
        spans = [(len(prompts[i]), len(whole[i])) for i in places]
        rows_N = torch.tensor([r for r, (a, b) in enumerate(spans) for _ in range(a, b)], device=model.device)
        columns_N = torch.tensor([t for a, b in spans for t in range(a, b)], device=model.device)
        first = min(a for a, _ in spans) - 1 if cuts else 0  # earlier logits predict no response token
        kept = {"logits_to_keep": width - first} if cuts else {}
        # no_grad ends before the yield: two of these generators alternate and would restore each other's mode.
        with torch.no_grad():
            logits_BTV = model(input_ids=ids_BT, use_cache=False, **kept).logits
            logp_NV = logits_BTV[rows_N, columns_N - 1 - first].float().log_softmax(-1)
        yield places, logp_NV, ids_BT[rows_N, columns_N], rows_N


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of sequences, the longest first, in batches of at most `TOKENS_AT_ONCE` padded tokens."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        count = max(1, TOKENS_AT_ONCE // max(1, lengths[order[0]]))
        yield order[:count]
        order = order[count:]
