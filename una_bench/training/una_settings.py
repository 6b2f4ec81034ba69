"""Settings that UNA's methods share, and what may be combined."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from una_bench.interfaces.method import Method
from una_bench.interfaces.settings import Count, Positive, WholeNumber

Rate = Annotated[float, Field(gt=0, le=1)]
"""Step of a moving constant."""


class UnaMethod(Method):
    """UNA with any feedback."""

    preload = ("una_bench.training.una", "una_bench.una.trainer")
    one_process = ""

    beta: Positive = 0.5
    """Strength of the pull towards the reference policy, per nat."""
    per_device_train_batch_size: Count | None = None
    """Rows in one forward pass (a pair is two responses); None: all of an optimizer step."""
    logits_chunk_size: WholeNumber | None = None
    """Response tokens whose logits are in memory at once; None: chosen by vocabulary size; 0: the logits of all tokens,
    as TRL keeps them."""
    share_prompts: bool = True
    """Compute a prompt once for all its responses in a batch of given responses, where that saves enough."""


class UnaRegression(UnaMethod):
    """UNA as a regression of the implicit reward r = β·log(π_θ/π_ref) + f(x) + c on labels or scores."""

    regresses = True

    loss_type: Literal["mse", "bce"] = "mse"
    """``mse``, or ``bce`` (with a score as soft label)."""
    offset: Literal["none", "ema", "prompt_mean", "learned", "partition"] = "none"
    """f(x) + c; ``none`` is as published."""
    offset_lr_multiplier: Positive = 10.0
    """``learned``: learning rate of the scalar head in units of the policy's."""
    reduction: Literal["mean", "sum"] = "mean"
    """Loss of one forward pass: ``mean`` over its responses (as published), or ``sum`` (as in the released code)."""

    @property
    def display(self) -> str:
        """Label with what tells variants apart: loss, space, offset and anchor."""
        settings = self.settings()
        parts = [self.loss_type.upper()]
        parts += ["reward space"] if settings.get("space") == "reward" else []
        parts += [self.offset] if self.offset != "none" else []
        parts += ["rollout anchor"] if settings.get("anchor") == "rollout" else []
        return f"{self.label} ({', '.join(parts)})"


class UnaScoreRegression(UnaRegression):
    """UNA on scores, given or of generated responses."""

    space: Literal["score", "reward"] = "score"
    """``score`` (sigmoid(r) against the score, as published) or ``reward`` (r against the raw reward)."""
    offset_rate: Rate = 0.05
    """``ema``: share of a batch's mean in the constant."""

    @model_validator(mode="after")
    def _bce_needs_scores(self) -> Self:
        if self.space == "reward" and self.loss_type == "bce":
            raise ValueError("loss_type=bce needs scores in [0, 1]: with space=reward use loss_type=mse")
        return self
