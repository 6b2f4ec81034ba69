"""Feedback of every kind on the same responses: preferences, labels and scores, drawn from the true reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from una_bench.problems.exact import language
from una_bench.problems.exact.policy import sampler

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How unreliable the feedback is, beyond the chance in preferences and labels themselves."""

    label: float
    """Probability that a preference, or a label, is turned round."""
    score: float
    """Standard deviation of what is added to the reward before it becomes a score."""


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -x))
    return result


def draw_feedback(
    logp_reference: NDArray[np.float64],
    reward: NDArray[np.float64],
    *,
    prompts: NDArray[np.int64],
    pairs: int,
    noise: Noise,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw pairs of responses from the reference and judge them; columns as in `una_bench.interfaces.prepared`.

    Preferences are Bradley-Terry on the reward r, labels are Bernoulli(σ(r)), scores are σ(r + noise). Every prompt
    gets as many pairs as any other, give or take one.

    Args:
        logp_reference: Nats, (all prompts, responses).
        reward: True reward, offsets added, (all prompts, responses).
        prompts: Numbers of the prompts to ask.
        pairs: Pairs to draw.
        noise: Unreliability of the judge.
        rng: Source of all randomness here.
    """
    asked = np.repeat(rng.permutation(np.resize(prompts, pairs)), 2)
    given = sampler(logp_reference, rng)(asked)
    true = reward[asked, given]
    first, second = true[0::2], true[1::2]
    first_wins = (rng.random(pairs) < _sigmoid(first - second)) ^ (rng.random(pairs) < noise.label)
    label = (rng.random(2 * pairs) < _sigmoid(true)) ^ (rng.random(2 * pairs) < noise.label)
    judged = true + noise.score * rng.standard_normal(2 * pairs)
    return _frame(asked, given, judged, label, np.stack([first_wins, ~first_wins], 1).ravel())


def _frame(
    asked: NDArray[np.int64],
    given: NDArray[np.int64],
    judged: NDArray[np.float64],
    label: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
) -> pd.DataFrame:
    import pandas as pd

    prompts = [language.prompts()[p] for p in asked]
    completions = [language.marked(language.responses()[r]) for r in given]
    return pd.DataFrame(
        {
            "pair": np.arange(len(asked)) // 2,
            "prompt": prompts,
            "completion": completions,
            "prompt_ids": [language.token_ids(text) for text in prompts],
            "completion_ids": [language.token_ids(text) for text in completions],
            "reward": judged,
            "score": _sigmoid(judged),
            "label": label,
            "chosen": chosen,
        }
    )


def prompt_frame(heldout: NDArray[np.bool_]) -> pd.DataFrame:
    """All prompts with their split; columns as in `una_bench.interfaces.prepared`."""
    import pandas as pd

    return pd.DataFrame(
        {
            "prompt": list(language.prompts()),
            "prompt_ids": [language.token_ids(text) for text in language.prompts()],
            "split": np.where(heldout, "heldout", "train"),
        }
    )
