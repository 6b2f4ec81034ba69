"""What a policy thinks of given responses, and how far its own have moved from the reference; no gradients here."""

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
"""Padded tokens in one forward pass: their logits are what takes memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A response that a policy wrote."""

    prompt_ids: list[int]
    completion_ids: list[int]
    ended: bool
    """Whether it holds an end token; the others were cut at the length limit."""


def log_probabilities(model: Any, prompts: Sequence[Ids], completions: Sequence[Ids]) -> list[float]:
    """Return log π(completion | prompt) of each pair, nats; a prompt that several share is read once."""
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
    """Return the divergence of the policy from the reference along each completion, nats.

    At every token of a completion that the policy sampled, KL(π(·|x, y<t) ‖ π_ref(·|x, y<t)) is summed over the whole
    vocabulary. The mean over samples estimates KL(π ‖ π_ref) without bias, never below 0, and with less noise than the
    log-ratio of the sampled tokens alone.
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
    """Sample one response to each prompt at temperature 1; the same random numbers for every model."""
    from una_bench.una.generation import Sampling, end_tokens, generate, uniform_numbers

    ends = end_tokens(model, tokenizer)
    sampling = Sampling(max_new_tokens=max_new_tokens, eos=ends, pad=int(tokenizer.pad_token_id))
    numbers_BT = uniform_numbers(len(prompts), max_new_tokens, (seed, 0))
    asked = [list(map(int, prompt)) for prompt in prompts]
    written = generate(model, asked, sampling, numbers_BT, batch=max(1, len(asked)))
    return [
        Sample(prompt_ids=p, completion_ids=c, ended=bool(c) and c[-1] in ends)
        for p, c in zip(asked, written, strict=True)
    ]


def _response_logits(
    model: Any, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """Yield, a batch at a time: which pairs, log-probabilities at their N response tokens (N, V), the tokens (N,), and
    the row of the batch that each token belongs to (N,).

    Padding stands on the right, where no real token attends to it.
    """
    whole = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    cuts = "logits_to_keep" in signature(causal_model(model).forward).parameters
    for places in _batches([len(ids) for ids in whole]):
        width = len(whole[places[0]])
        ids_BT = torch.tensor([whole[i] + [0] * (width - len(whole[i])) for i in places], device=model.device)
        spans = [(len(prompts[i]), len(whole[i])) for i in places]
        rows_N = torch.tensor([r for r, (a, b) in enumerate(spans) for _ in range(a, b)], device=model.device)
        columns_N = torch.tensor([t for a, b in spans for t in range(a, b)], device=model.device)
        first = min(a for a, _ in spans) - 1 if cuts else 0  # what comes before predicts no response token
        kept = {"logits_to_keep": width - first} if cuts else {}
        # Closed before the yield: two of these generators run in turn, and each would restore the other's mode.
        with torch.no_grad():
            logits_BTV = model(input_ids=ids_BT, use_cache=False, **kept).logits
            logp_NV = logits_BTV[rows_N, columns_N - 1 - first].float().log_softmax(-1)
        yield places, logp_NV, ids_BT[rows_N, columns_N], rows_N


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of sequences, the longest first, as many at a time as `TOKENS_AT_ONCE` allows."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        count = max(1, TOKENS_AT_ONCE // max(1, lengths[order[0]]))
        yield order[:count]
        order = order[count:]
