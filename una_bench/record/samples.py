"""Curves and raw steps: what a record holds of a training from step to step."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

PROGRESS = "progress."
"""Prefix of the curves with the budget consumed at the points of the other curves."""


class Better(StrEnum):
    """Direction in which a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Frozen(BaseModel):
    """A part of a record."""

    # JSON has no non-finite numbers, and null could not be read back.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


class Curve(Frozen):
    """A metric along training."""

    metric: str
    unit: str
    better: Better = Better.NEITHER
    x_unit: str = "response"
    """``response`` (responses trained on) or ``step`` (optimizer steps)."""
    x: tuple[float, ...]
    y: tuple[float, ...]


class StepSamples(Frozen):
    """Raw samples of the training loop, one entry per measured step, in order."""

    seconds: tuple[float, ...] = ()
    cpu_seconds: tuple[float, ...] = ()
    queued_seconds: tuple[float, ...] = ()
    """Part of ``seconds`` in which the process waited for a core; empty if the kernel does not report it."""
    responses: tuple[int, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    response_tokens: tuple[int, ...] = ()
    padding_tokens: tuple[int, ...] = ()
    optimizer_steps: tuple[int, ...] = ()
    warmup: int = 0
    """Leading steps that rates exclude."""
