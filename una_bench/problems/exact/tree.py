"""Exact log-probabilities and rewards of every response, computing each prefix once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from una_bench.problems.exact import language

LETTERS = len(language.LETTERS)
PROMPTS_AT_ONCE = 8
"""Limits memory: the last level of 8 prompts has 2,744 prefixes of 5 tokens."""


def _some(policy: Any, prompt_ids_PT: Tensor) -> Tensor:
    """Return the log-probabilities of all responses to a few prompts, (P, responses)."""
    prompts = prompt_ids_PT.shape[0]
    letter_ids = torch.tensor(language.RESPONSE_IDS[1:], device=prompt_ids_PT.device)
    out = policy(input_ids=prompt_ids_PT, use_cache=True, logits_to_keep=1)
    # Log-probability of each prefix of this length, (P, 7 ** depth); prefixes in the order of `language.responses`.
    prefix = torch.zeros(prompts, 1, dtype=torch.float64, device=prompt_ids_PT.device)
    ended = []
    for depth in range(language.MAX_TOKENS):
        logp_NV = torch.log_softmax(out.logits[:, -1].double(), dim=-1)  # normalized over the whole vocabulary
        logp_N8 = logp_NV[:, language.RESPONSE_IDS[0] : language.RESPONSE_IDS[-1] + 1]
        next_PN8 = logp_N8.view(prompts, LETTERS**depth, 1 + LETTERS)
        ended.append(prefix + next_PN8[:, :, 0])
        prefix = (prefix[:, :, None] + next_PN8[:, :, 1:]).reshape(prompts, -1)
        if depth + 1 < language.MAX_TOKENS:
            cache = out.past_key_values
            cache.batch_repeat_interleave(LETTERS)
            input_ids = letter_ids.repeat(prompts * LETTERS**depth)[:, None]
            out = policy(input_ids=input_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return torch.cat([*ended, prefix], dim=1)


def log_probabilities(policy: Any, prompt_ids_PT: Tensor) -> Tensor:
    """Return the log-probability of each of the 2,801 responses to each prompt; differentiable.

    ``prompt_ids_PT`` are prompts of equal length without padding, (prompts, tokens). Returns nats, float64, (prompts,
    responses), in the order of `language.responses`.
    """
    return torch.cat([_some(policy, part) for part in prompt_ids_PT.split(PROMPTS_AT_ONCE)])


def prompt_ids(device: Any = "cpu") -> Tensor:
    """Return the tokens of all prompts, (64, 2)."""
    return torch.tensor([language.token_ids(prompt) for prompt in language.prompts()], device=device)


def rewards(model: Any, prompt_ids_PT: Tensor) -> Tensor:
    """Score every response to each prompt with a sequence classifier over this vocabulary, (prompts, responses)."""
    return torch.cat([_some_rewards(model, part) for part in prompt_ids_PT.split(PROMPTS_AT_ONCE)])


def _some_rewards(model: Any, prompt_ids_PT: Tensor) -> Tensor:
    """Return the scores of all responses to a few prompts: prefixes with end token, full-length ones without."""
    prompts = prompt_ids_PT.shape[0]
    letter_ids = torch.tensor(language.RESPONSE_IDS[1:], device=prompt_ids_PT.device)
    out = model(input_ids=prompt_ids_PT, use_cache=True)
    levels = []
    for depth in range(language.MAX_TOKENS):
        cache, prefixes = out.past_key_values, prompts * LETTERS**depth
        end_ids = torch.full((prefixes, 1), language.END_ID, device=prompt_ids_PT.device)
        ended = model(input_ids=end_ids, past_key_values=cache, use_cache=True)
        levels.append(ended.logits.view(prompts, -1))
        cache.crop(-1)
        cache.batch_repeat_interleave(LETTERS)
        out = model(input_ids=letter_ids.repeat(prefixes)[:, None], past_key_values=cache, use_cache=True)
    return torch.cat([*levels, out.logits.view(prompts, -1)], dim=1).double()
