"""Settings of the exactly solvable problem: 64 prompts, 2,801 responses each, a known reward and optimum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from una_bench.interfaces.problem import Problem

VARIANTS = {"E0": (0.0, 0.0), "E1": (1.0, 0.5), "E2": (-1.0, 0.5)}
"""Name -> mean and standard deviation of the constant added to the rewards of a prompt."""


class ExactSettings(Problem):
    """Settings of the exactly solvable problem."""

    about: ClassVar[str] = (
        "64 prompts with 2,801 enumerable responses each and a known reward: distance to the optimum is exact"
    )

    validation: ClassVar[Mapping[str, Any]] = {"validation_prompts": 8}

    kind: Literal["exact"] = "exact"
    """Kind of problem."""
    seed: int = Field(default=0, ge=0)
    """Seed of the reference policy, the split of prompts, the offsets and all feedback."""
    reward_seed: int = Field(default=4, ge=0)
    """Seed of the reward's weights. The optimum is 1.4 to 2.3 nats from the reference for the first eight seeds; 1.6
    for this one."""
    beta: float = Field(default=0.5, gt=0)
    """Weight of KL in the objective E[r] − β·KL, per nat; at 0.5 the optimum is 1.6 nats from the reference."""
    variant: Literal["E0", "E1", "E2", "own"] = "E1"
    """Preset of ``shift`` and ``shift_sd``: E0 none, E1 +1 and 0.5, E2 −1 and 0.5; ``own`` if they are set."""
    shift: float = 1.0
    """Constant added to all rewards; does not affect optimum and preferences."""
    shift_sd: float = Field(default=0.5, ge=0)
    """Standard deviation over prompts of a constant added to the rewards of each prompt."""
    responses: int = Field(default=16384, ge=2, multiple_of=2)
    """Responses sampled from the reference for feedback; two form a pair."""
    responses_heldout: int = Field(default=2048, ge=2, multiple_of=2)
    """Responses to held-out prompts, for preference accuracy."""
    heldout_prompts: int = Field(default=16, ge=2, le=62)
    """Number of held-out prompts out of 64."""
    validation_prompts: int = Field(default=0, ge=0, le=60)
    """Number of further prompts that nothing is trained on, to choose settings by; tuning sets it to 8."""
    label_noise: float = Field(default=0.0, ge=0, le=0.5)
    """Probability that a preference or a label is flipped."""
    score_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise added to the reward before it becomes a score."""
    prompt_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the variance of reward weights that depends on the prompt; a larger share is harder to learn."""
    teacher_sharpness: float = Field(default=0.25, gt=0)
    """Standard deviation of the teacher's logits; with higher values the reference samples fewer distinct responses."""
    sft_steps: int = Field(default=800, ge=1)
    """Training steps of the reference, 64 responses each."""
    reward_model: bool = True
    """Whether to learn a reward model from the pairs."""
    reward_model_steps: int = Field(default=384, ge=1)
    """Training steps of the reward model, 64 pairs each."""

    @model_validator(mode="after")
    def _leaves_prompts(self) -> Self:
        if self.heldout_prompts + self.validation_prompts > 62:
            raise ValueError(
                f"heldout_prompts={self.heldout_prompts} and validation_prompts={self.validation_prompts} leave fewer "
                "than 2 of 64 prompts to train on; lower one"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _resolve_variant(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given_shifts = {"shift", "shift_sd"} & given.keys()
        variant = given.get("variant", "own" if given_shifts else "E1")
        if not isinstance(variant, str) or variant not in VARIANTS:
            return given | {"variant": variant}
        named = dict(zip(("shift", "shift_sd"), VARIANTS[variant], strict=True))
        for name in given_shifts:
            if given[name] != named[name]:
                raise ValueError(f"{name} is {named[name]} in variant {variant}; omit the variant to set another")
        return given | named | {"variant": variant}
