"""Settings of a generated problem: a language model, prompts, and a reward function that is known and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from una_bench.interfaces.problem import Problem
from una_bench.problems.preference.settings import PreferenceSettings, RewardModel, read_template
from una_bench.problems.preference.sources import Source

OPENINGS = "openings"
"""Name of the prompts that come with una-bench."""


class GeneratedSettings(Problem):
    """Settings of a generated problem."""

    about: ClassVar[str] = (
        "your language model, prompts, and a known reward function: distance to the optimum is estimated with bounds"
    )

    validation: ClassVar[Mapping[str, Any]] = {"validation_prompts": 16}

    kind: Literal["generated"] = "generated"
    """Kind of problem."""
    policy: str
    """Initial policy of every method: folder, ``.gguf`` file, hub name, or a model in `una-bench models list`."""
    policy_revision: str = ""
    """Branch, tag or commit on the hub."""
    policy_fingerprint: str = ""
    """Tells versions of a local policy apart; filled in."""
    trust_remote_code: str = ""
    """Name of the policy whose custom code may run; empty: none."""
    template: Literal["chat", "plain"] = "chat"
    """``chat``: the policy's chat template; ``plain``: prompts as they are, which the policy continues."""
    chat_template: str = ""
    """Chat template (Jinja) or a file with one, to use instead of the policy's."""
    prompts: Literal["openings"] | Source = Field(default="openings", union_mode="left_to_right")
    """Rows with a column ``prompt`` (text or messages), or ``openings``: 96 openings of sentences, neutral in mood."""
    heldout: Source | None = None
    """Rows of held-out prompts; none: ``heldout_prompts`` of ``prompts``."""
    heldout_prompts: int = Field(default=32, ge=2)
    """Prompts held out, chosen by the seed, without ``heldout``; else the largest number of those."""
    validation_prompts: int = Field(default=0, ge=0)
    """Further prompts of ``prompts`` that nothing is trained on, to choose settings by; tuning sets it to 16."""
    train_prompts: int | None = Field(default=None, ge=2)
    """Largest number of prompts to train on, chosen by the seed; none: all others."""
    max_prompt_length: int | None = Field(default=None, ge=1)
    """Tokens; longer prompts are refused. None: those of the longest prompt."""
    max_response_length: int = Field(default=24, ge=2)
    """Tokens of a response, with its end token if it ends before."""
    reward_function: str = "sentiment"
    """``sentiment``, ``length``, ``valid_json``, ``boxed``, the name of an entry point, ``module:function``,
    ``file.py:function``, or ``model:FOLDER`` for the sigmoid of a reward model."""
    reward_fingerprint: str = ""
    """Tells versions of the function's file apart; filled in."""
    reward_scale: float = Field(default=1.0, gt=0)
    """Factor of the reward: with a larger one, and as much larger ``beta``, feedback is less noisy for the same
    optimum."""
    reward_seconds: float = Field(default=1.0, gt=0)
    """Time that the function may take for a response, on average."""
    beta: float = Field(default=0.5, gt=0)
    """Weight of KL in the objective E[r] − β·KL, per nat."""
    responses: int = Field(default=2048, ge=2, multiple_of=2)
    """Responses sampled from the policy for feedback; two form a pair."""
    responses_heldout: int = Field(default=512, ge=2, multiple_of=2)
    """Responses to held-out prompts, for preference accuracy."""
    label_noise: float = Field(default=0.0, ge=0, le=0.5)
    """Probability that a preference or a label is flipped."""
    score_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise added to the reward before it becomes a score."""
    optimum_samples: int = Field(default=256, ge=8, multiple_of=2)
    """Samples of the policy to each prompt from which the optimum is estimated, apart from those for feedback."""
    optimum_rounds: int = Field(default=8, ge=0)
    """Times that ``optimum_samples`` / 2 more are drawn for a prompt while none was accepted as one of the optimum."""
    seed: int = Field(default=0, ge=0)
    """Seed of the choice of prompts and of all samples and feedback."""
    reward_model: RewardModel | None = None
    """Reward model to train on the pairs, for ``reward: learned``. None: online methods need ``reward: true``."""

    @model_validator(mode="before")
    @classmethod
    def _note_versions(cls, given: Any) -> Any:
        """Fill in fingerprints of local models and functions: equal settings must mean equal results."""
        from una_bench.models import catalog
        from una_bench.problems.generated import rewards

        if not isinstance(given, dict):
            return given
        values = dict(given)
        if isinstance(values.get("policy"), str) and not values.get("policy_fingerprint"):
            values["policy_fingerprint"] = catalog.fingerprint(values["policy"])
        if isinstance(values.get("reward_function"), str) and not values.get("reward_fingerprint"):
            values["reward_fingerprint"] = rewards.fingerprint(values["reward_function"])
        return values

    @field_validator("chat_template")
    @classmethod
    def _read_template(cls, given: str) -> str:
        return read_template(given)

    def as_preference(self, longest_prompt: int | None = None) -> PreferenceSettings:
        """Return the settings of policy, lengths and reward model for the code of preference problems."""
        from una_bench.problems.preference.problem import Preference

        return Preference.model_construct(
            policy=self.policy,
            policy_revision=self.policy_revision,
            policy_fingerprint=self.policy_fingerprint,
            trust_remote_code=self.trust_remote_code,
            template=self.template,
            chat_template=self.chat_template,
            dataset=Source.model_construct(source="prompts"),
            max_prompt_length=longest_prompt or self.max_prompt_length,
            max_response_length=self.max_response_length,
            reward_model=self.reward_model,
            seed=self.seed,
        )
