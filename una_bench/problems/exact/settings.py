"""The exactly solvable problem: 64 prompts, 2,801 responses each, a known reward, and so a known optimum."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from una_bench.interfaces.problem import Problem

VARIANTS = {"E0": (0.0, 0.0), "E1": (1.0, 0.5), "E2": (-1.0, 0.5)}
"""Name -> mean and standard deviation of the constant added to the rewards of a prompt."""


class ExactSettings(Problem):
    """Settings of the exactly solvable problem."""

    about: ClassVar[str] = (
        "64 prompts with 2,801 enumerable responses each and a known reward: distance to the optimum is exact"
    )

    kind: Literal["exact"] = "exact"
    seed: int = Field(default=0, ge=0)
    """Of the reference policy, the split of prompts, the offsets and all feedback."""
    reward_seed: int = Field(default=4, ge=0)
    """Of the reward's weights. Draws differ in how far the optimum is from the reference (1.4 to 2.3 nats over
    the first eight); this one has 1.6."""
    beta: float = Field(default=0.5, gt=0)
    """Price of a nat of KL in the objective E[r] − β·KL; at 0.5 the optimum is 1.6 nats from the reference."""
    variant: Literal["E0", "E1", "E2", "own"] = "E1"
    """Names a choice of ``shift`` and ``shift_sd``: E0 none, E1 +1 and 0.5, E2 −1 and 0.5."""
    shift: float = 1.0
    """Constant added to all rewards; objective, optimum and preferences do not change by it."""
    shift_sd: float = Field(default=0.5, ge=0)
    """Standard deviation over prompts of a constant added to the rewards of each prompt."""
    responses: int = Field(default=16384, ge=2, multiple_of=2)
    """Responses drawn from the reference for feedback; two are a pair."""
    responses_heldout: int = Field(default=2048, ge=2, multiple_of=2)
    """Responses to held-out prompts, to judge preference accuracy with."""
    heldout_prompts: int = Field(default=16, ge=2, le=62)
    """How many of the 64 prompts are never trained on."""
    label_noise: float = Field(default=0.0, ge=0, le=0.5)
    """Probability that a preference, or a label, is turned round."""
    score_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of what is added to the reward before it becomes a score."""
    prompt_share: float = Field(default=0.2, ge=0, le=1)
    """Part of the variance of reward weights that depends on the prompt; more is harder to learn from few responses."""
    teacher_sharpness: float = Field(default=0.25, gt=0)
    """Standard deviation of the logits of the policy that the reference imitates; higher leaves more unseen."""
    sft_steps: int = Field(default=800, ge=1)
    """Steps of 64 responses that make the reference from random weights."""
    reward_model: bool = True
    """Whether to learn a reward model from the pairs."""
    reward_model_steps: int = Field(default=384, ge=1)
    """Steps of 64 pairs."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_variant(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        own = {"shift", "shift_sd"} & given.keys()
        variant = given.get("variant", "own" if own else "E1")
        if not isinstance(variant, str) or variant not in VARIANTS:
            return given | {"variant": variant}
        named = dict(zip(("shift", "shift_sd"), VARIANTS[variant], strict=True))
        for name in own:
            if given[name] != named[name]:
                raise ValueError(
                    f"{name}: variant {variant} means {named[name]}; leave out the variant to choose another"
                )
        return given | named | {"variant": variant}
