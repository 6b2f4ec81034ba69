"""The reward of a prepared problem, on prompts and completions as the policy sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.interfaces.prepared import Prepared
from una_bench.models import weight_files
from una_bench.problems.generated import rewards

if TYPE_CHECKING:
    from una_bench.problems.generated.rewards import Reward
    from una_bench.problems.generated.settings import GeneratedSettings


def find(problem: GeneratedSettings) -> Reward:
    """Return the reward function of the settings; a UserError if its file has changed since."""
    if problem.reward_fingerprint not in {"", rewards.fingerprint(problem.reward_function)}:
        raise UserError(
            f"The file of {problem.reward_function} has changed since the suite was prepared. Restore it, or run the "
            "suite again."
        )
    return rewards.find(problem.reward_function, scale=problem.reward_scale, seconds=problem.reward_seconds)


class Judge:
    """The reward on texts of the policy: special tokens are taken off, prompts are those of the data."""

    def __init__(self, reward: Reward, given: dict[str, Any], tokenizer: Any) -> None:
        self.reward, self.given = reward, given
        self.end = tokenizer.eos_token
        self.others = [token for token in tokenizer.all_special_tokens if token and token != self.end]

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """Return the reward of each response."""
        return self.reward([self.given[prompt] for prompt in prompts], [self._plain(text) for text in completions])

    def _plain(self, text: str) -> str:
        text = text.split(self.end)[0]
        for token in self.others:
            text = text.replace(token, "")
        return text


def reward_of(problem: GeneratedSettings, folder: Path) -> Judge:
    """Return the reward of a prepared folder."""
    import pandas as pd
    from transformers import AutoTokenizer

    policy = Prepared(folder).policy
    tokenizer = AutoTokenizer.from_pretrained(policy, **weight_files.loading(policy))
    table = pd.read_parquet(folder / "prompts.parquet")
    given = {prompt: json.loads(text) for prompt, text in zip(table["prompt"], table["given"], strict=True)}
    return Judge(find(problem), given, tokenizer)
