"""Problem interface of the exactly solvable problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from una_bench.interfaces.problem import RewardFunction
from una_bench.problems.exact.settings import ExactSettings


class Exact(ExactSettings):
    """Preparation and truth of the exactly solvable problem."""

    own_tasks = ("exact_choice", "exact_generate")
    drawn: ClassVar[Mapping[str, str]] = {
        "reward_seed": "reward",
        "seed": "reference policy, split of prompts, offsets and feedback",
    }

    def parameter_count(self) -> int:
        """Return the parameters of the policy: Phi with 2 layers of width 64 and 17 tokens (`.policy.new_policy`)."""
        vocabulary, width, inner, layers = 17, 64, 256, 2
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * inner + inner + width
        body = vocabulary * width + layers * (attention + feed_forward + 2 * width) + 2 * width
        return body + vocabulary * width + vocabulary

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Create policy, feedback, reward model, tasks and truth; equal settings give equal bytes."""
        from una_bench.problems.exact.prepare import prepare

        prepare(self, out, say)

    def true_reward(self, prepared: Path) -> RewardFunction:
        """Return the reward that feedback is sampled from, offsets included."""
        from una_bench.problems.exact import language, truth

        table = truth.load(prepared).reward

        def reward(prompts: Any, completions: Any) -> list[float]:
            numbers = zip(map(language.prompt_number, prompts), map(language.response_number, completions), strict=True)
            return [float(table[number]) for number in numbers]

        return reward
