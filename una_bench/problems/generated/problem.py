"""Problem interface of a language model with a known, bounded reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from una_bench.interfaces.prepared import DataSize
from una_bench.interfaces.problem import RewardFunction
from una_bench.models.offline import Need
from una_bench.problems.generated.settings import GeneratedSettings


class Generated(GeneratedSettings):
    """Preparation of samples of a policy, judged by a reward function, and of the optimum's estimate."""

    own_tasks = ()
    also = ("problems/preference", "problems/exact")
    drawn: ClassVar[Mapping[str, str]] = {"seed": "choice of prompts, samples and feedback"}

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Sample, judge, and bound the optimum."""
        from una_bench.problems.generated.prepare import prepare

        prepare(self, out, say)

    def needs(self) -> list[Need]:
        """Return the models and data that this machine lacks."""
        from una_bench.problems.generated import prompts
        from una_bench.problems.preference import missing_inputs

        return missing_inputs.of_parts(self.as_preference(), prompts.sources_of(self))

    def size(self) -> DataSize | None:
        """Return the amount of the data: responses as set, prompts by their characters."""
        from una_bench.problems.generated import prompts

        return prompts.size(self)

    def overview(self, data: DataSize | None) -> dict[str, str]:
        """Return the lines about model, prompts, lengths and reward."""
        where = "openings that come with una-bench" if isinstance(self.prompts, str) else self.prompts.name
        heldout = f"{self.heldout_prompts} of them" if self.heldout is None else self.heldout.name
        scaled = f", times {self.reward_scale:g}" if self.reward_scale != 1 else ""
        return {
            "model": Path(self.policy).name if Path(self.policy).exists() else self.policy,
            "data": f"{self.responses} responses of the model to {where}; held out: {heldout}",
            "lengths": f"responses up to {self.max_response_length} tokens",
            "reward": f"{self.reward_function}{scaled}, known",
        }

    def parameter_count(self) -> int | None:
        """Return the parameters of the policy, None if it is not on this machine."""
        from una_bench.models import catalog

        return catalog.parameter_count(self.policy)

    def true_reward(self, prepared: Path) -> RewardFunction:
        """Return the reward that feedback is drawn from, on prompts and completions as the policy sees them."""
        from una_bench.problems.generated import judging

        return judging.reward_of(self, prepared)
