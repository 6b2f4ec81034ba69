"""Preferences, labels and scores of the same responses, sampled from the true reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from una_bench.problems.exact import language
from una_bench.problems.exact.optimum import Floats
from una_bench.problems.exact.policy import sampler

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise of the feedback, in addition to the sampling of preferences and labels."""

    label: float
    """Probability that a preference or a label is flipped."""
    score: float
    """Standard deviation of the noise added to the reward before it becomes a score."""


def _sigmoid(x: Floats) -> Floats:
    result: Floats = np.exp(-np.logaddexp(0.0, -x))
    return result


def draw_feedback(
    logp_reference: Floats,
    reward: Floats,
    *,
    prompts: NDArray[np.int64],
    pairs: int,
    noise: Noise,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Sample pairs of responses from the reference and judge them; columns as in `una_bench.interfaces.prepared`.

    Preferences are Bradley-Terry on the reward r, labels are Bernoulli(σ(r)), scores are σ(r + noise). The number of
    pairs per prompt differs by at most one. ``logp_reference`` (nats) and ``reward`` (true, offsets included) are
    (all prompts, responses); ``prompts`` are the indices of those to use.
    """
    import pandas as pd

    prompt = np.repeat(rng.permutation(np.resize(prompts, pairs)), 2)
    response = sampler(logp_reference, rng)(prompt)
    judged = judge_pairs(reward[prompt, response], noise, rng)
    texts = [language.prompts()[p] for p in prompt]
    completions = [language.marked(language.responses()[r]) for r in response]
    return pd.DataFrame(
        {
            "pair": judged.pop("pair"),
            "prompt": texts,
            "completion": completions,
            "prompt_ids": [language.token_ids(text) for text in texts],
            "completion_ids": [language.token_ids(text) for text in completions],
            **judged,
        }
    )


def judge_pairs(true: Floats, noise: Noise, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the columns of feedback on responses, two in turn a pair: ``pair, reward, score, label, chosen``.

    ``true`` are their true rewards, (2 · pairs,). Preferences are Bradley-Terry on them, labels Bernoulli(σ(r)), scores
    σ(r + noise).
    """
    pairs = len(true) // 2
    first, second = true[0::2], true[1::2]
    first_wins = (rng.random(pairs) < _sigmoid(first - second)) ^ (rng.random(pairs) < noise.label)
    label = (rng.random(2 * pairs) < _sigmoid(true)) ^ (rng.random(2 * pairs) < noise.label)
    judged = true + noise.score * rng.standard_normal(2 * pairs)
    return {
        "pair": np.arange(2 * pairs) // 2,
        "reward": judged,
        "score": _sigmoid(judged),
        "label": label,
        "chosen": np.stack([first_wins, ~first_wins], 1).ravel(),
    }
