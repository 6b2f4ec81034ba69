"""Initial policy of the exact problem: a small transformer fine-tuned on samples of a random teacher."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from una_bench.problems.exact import language, tree
from una_bench.problems.exact.optimum import Floats

if TYPE_CHECKING:
    from transformers import PhiForCausalLM

IMPOSSIBLE = -1e4
"""Bias of tokens that no response contains: their probability and its gradient are exactly 0 in float32."""


def new_policy(seed: int, *, spread: float = 0.02) -> PhiForCausalLM:
    """Build an untrained policy with 2 layers, width 64, 4 heads; Phi has a bias in its output layer.

    ``spread`` is the standard deviation of the weights. The caller's random state is restored.
    """
    from transformers import PhiConfig, PhiForCausalLM

    config = PhiConfig(
        vocab_size=len(language.VOCABULARY),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=spread,
        bos_token_id=None,
        eos_token_id=language.END_ID,
        pad_token_id=language.PAD_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = PhiForCausalLM(config)
    policy.generation_config.update(pad_token_id=language.PAD_ID, eos_token_id=language.END_ID, bos_token_id=None)
    impossible = [i for i in range(len(language.VOCABULARY)) if i not in language.RESPONSE_IDS]
    with torch.no_grad():
        policy.lm_head.bias[impossible] = IMPOSSIBLE
    return policy


def teacher(seed: int, sharpness: float) -> PhiForCausalLM:
    """Build the random policy that the reference is trained on; its logits have standard deviation ``sharpness``."""
    policy = new_policy(seed, spread=0.1)
    with torch.no_grad():
        # The final layer norm gives features of unit variance, so the sd of a logit is the norm of its output row.
        weight = policy.lm_head.weight
        weight.mul_(sharpness / weight.norm(dim=1, keepdim=True))
    return policy.eval()


def sampler(logp_PR: Floats, rng: np.random.Generator) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """Return a function that samples one response index per prompt index, from enumerated log-probabilities."""
    cumulative = np.exp(logp_PR).cumsum(1)
    cumulative /= cumulative[:, -1:]
    responses = cumulative.shape[1]
    # Row p of the flat table spans p to p + 1, so that one search handles all prompts.
    flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()

    def draw(prompts: NDArray[np.int64]) -> NDArray[np.int64]:
        indices = np.searchsorted(flat, prompts + rng.random(len(prompts)), side="right") - prompts * responses
        clipped: NDArray[np.int64] = np.clip(indices, 0, responses - 1)
        return clipped

    return draw


def enumerate_responses(policy: PhiForCausalLM) -> Floats:
    """Return the exact log-probabilities of all responses to all prompts, nats, (64, 2801)."""
    with torch.no_grad():
        table: Floats = tree.log_probabilities(policy.eval(), tree.prompt_ids()).numpy()
    return table


def sft(
    policy: PhiForCausalLM,
    logp_teacher: Floats,
    *,
    prompts: NDArray[np.int64],
    steps: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train ``policy`` on the teacher's responses to the given prompts: batches of 64, AdamW, cosine from 2e-3."""
    rng = np.random.default_rng([seed, 4])
    draw = sampler(logp_teacher, rng)
    ids = [language.token_ids(language.marked(text)) for text in language.responses()]
    padded_R4 = torch.tensor([row + [language.PAD_ID] * (language.MAX_TOKENS - len(row)) for row in ids])
    mask_R4 = torch.arange(language.MAX_TOKENS) < torch.tensor([len(row) for row in ids])[:, None]
    prompt_ids_PT = tree.prompt_ids()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    policy.train()
    for step in range(steps):
        prompt = rng.choice(prompts, 64)
        response = draw(prompt)
        ids_BT, mask_BT = padded_R4[response], mask_R4[response]
        logits_BTV = policy(input_ids=torch.cat([prompt_ids_PT[prompt], ids_BT], dim=1)).logits
        logp_BTV = torch.log_softmax(logits_BTV[:, language.PROMPT_TOKENS - 1 : -1].float(), dim=-1)
        logp_BT = logp_BTV.gather(-1, ids_BT[..., None])[..., 0]
        # Padding is an impossible token: its log-probability is about -1e4 and must be masked, not multiplied by 0.
        loss = -torch.where(mask_BT, logp_BT, 0.0).sum() / mask_BT.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            say(f"reference policy: step {step + 1} of {steps}")
    policy.eval()
