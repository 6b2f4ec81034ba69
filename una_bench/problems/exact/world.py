"""True reward of the exact problem: weights of letters, bigrams, length and last letter that depend on the prompt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from una_bench.problems.exact import language
from una_bench.problems.exact.optimum import Floats

Masks = Mapping[str, NDArray[np.bool_]]
"""Split -> mask of its prompts, (prompts,); ``validation`` only if it has any."""


def split_prompts(seed: int, heldout: int, validation: int = 0) -> Masks:
    """Split the prompts at random; the held-out ones do not depend on the number of validation prompts."""
    prompts = len(language.prompts())
    order = np.random.default_rng([seed, 1]).permutation(prompts)
    ends = {"heldout": (0, heldout), "validation": (heldout, heldout + validation)}
    masks = {name: np.isin(np.arange(prompts), order[low:high]) for name, (low, high) in ends.items() if high > low}
    return {"train": ~np.any(list(masks.values()), axis=0), **masks}


def _table(rng: np.random.Generator, prompt_share: float, *shape: int) -> Floats:
    """Return weights of variance 1, (prompts, *shape): a part common to all prompts and one of each prompt.

    The part of a prompt is the sum of parts of its two letters, so that methods can generalize to held-out prompts.
    """
    letters = len(language.PROMPT_LETTERS)
    common = rng.standard_normal(shape)
    first, second = rng.standard_normal((letters, *shape)), rng.standard_normal((letters, *shape))
    specific = (first[:, None] + second[None, :]).reshape(letters * letters, *shape) / np.sqrt(2)
    table: Floats = np.sqrt(1 - prompt_share) * common + np.sqrt(prompt_share) * specific
    return table


def raw_reward(seed: int, prompt_share: float) -> Floats:
    """Return the reward before centering and scaling, shape (prompts, responses).

    ``prompt_share`` is the share of the weights' variance that depends on the prompt, in [0, 1].
    """
    rng = np.random.default_rng([seed, 2])
    letters = len(language.LETTERS)
    unigram, last = _table(rng, prompt_share, letters), _table(rng, prompt_share, letters)
    bigram, length = _table(rng, prompt_share, letters, letters), _table(rng, prompt_share, language.MAX_TOKENS + 1)
    words = language.letter_table()
    lengths = (words >= 0).sum(1)
    reward = length[:, lengths].copy()
    for place in range(language.MAX_TOKENS):
        there = np.flatnonzero(words[:, place] >= 0)
        reward[:, there] += unigram[:, words[there, place]]
        if place:
            reward[:, there] += bigram[:, words[there, place - 1], words[there, place]]
        ends = np.flatnonzero(lengths == place + 1)
        reward[:, ends] += last[:, words[ends, place]]
    return reward


def standardized(reward: Floats, logp_reference: Floats, splits: Masks) -> Floats:
    """Center the reward of each prompt under the reference, and scale it to standard deviation 1 over each split.

    ``reward`` and ``logp_reference`` (nats) are (prompts, responses).
    """
    probability = np.exp(logp_reference)
    centered: Floats = reward - (probability * reward).sum(1, keepdims=True)
    for group in splits.values():
        if group.any():
            centered[group] /= np.sqrt((probability[group] * centered[group] ** 2).sum(1).mean())
    return centered


def offsets(seed: int, shift: float, shift_sd: float, splits: Masks) -> Floats:
    """Return the constant added to the rewards of each prompt, (prompts,): mean ``shift``, sd ``shift_sd`` a split."""
    draw = np.random.default_rng([seed, 3]).standard_normal(len(splits["train"]))
    for group in splits.values():
        if group.sum() > 1:
            draw[group] = (draw[group] - draw[group].mean()) / draw[group].std()
    constants: Floats = shift + shift_sd * draw
    return constants
