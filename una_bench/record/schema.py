"""The record of one cell: the only thing that running writes and reading reads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
BUDGET_UNITS = {"responses": "response", "steps": "step", "tokens": "token", "flops": "FLOP", "seconds": "s"}
"""Kinds of budget, and what each is counted in."""
ADAPTED = "adapters and head"
"""The fact ``value_model_trained`` where PPO trains adapters on its value model and not all of it."""
PROGRESS = "progress."
"""Curves of this name say how much of a budget was used at the points of the others."""
"""Number of the record format; older ones are read, newer ones refused."""


class Better(StrEnum):
    """Which way a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Status(StrEnum):
    """How a cell ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


class _Frozen(BaseModel):
    # JSON has no word for numbers that are not finite; null would not be read back.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


Reading = Annotated[float, Field(allow_inf_nan=False)]


class Measurement(_Frozen):
    """One metric of one cell."""

    metric: str
    """Dotted, most general first: ``memory.peak``, ``oracle.regret.train``, ``task.gsm8k.exact_match``."""
    unit: str
    """SI or dimensionless: ``B``, ``s``, ``token/s``, ``nat``, ``1``. Never a scaled unit."""
    better: Better
    samples: tuple[Reading, ...]
    """Every reading, unrounded, in order. One that is not a finite number is none: it is refused."""
    how: str = ""
    """How and where it was read, when a reader could take it for something else."""
    stderr: Reading | None = None
    """Standard error within the cell (over documents), where the benchmark gives one."""

    @property
    def value(self) -> float:
        """Mean of the samples."""
        return sum(self.samples) / len(self.samples)


class Curve(_Frozen):
    """A metric along training."""

    metric: str
    unit: str
    better: Better = Better.NEITHER
    x_unit: str = "response"
    """``response`` (responses trained on) or ``step`` (optimizer steps)."""
    x: tuple[float, ...]
    y: tuple[float, ...]


class StepSamples(_Frozen):
    """Raw per-step samples of the training loop, one entry a measured step, in order."""

    seconds: tuple[float, ...] = ()
    cpu_seconds: tuple[float, ...] = ()
    queued_seconds: tuple[float, ...] = ()
    """Part of ``seconds`` in which the process was ready and had no core; empty where the kernel does not tell."""
    responses: tuple[int, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    response_tokens: tuple[int, ...] = ()
    padding_tokens: tuple[int, ...] = ()
    optimizer_steps: tuple[int, ...] = ()
    warmup: int = 0
    """Leading steps that rates leave out."""


class Failure(_Frozen):
    """Why a cell has no result."""

    phase: str
    step: int | None = None
    reason: str
    advice: str = ""
    log_tail: tuple[str, ...] = ()


class Record(_Frozen):
    """Everything one cell leaves. Complete without the code that made it."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["cell"] = "cell"
    run: str
    """Name of the run's folder."""
    suite: str
    cell: str
    """``METHOD[variant]-sSEED``, unique in its run."""
    key: str
    """Content hash of everything that decides the result: recipe, settings, seed, code of the method."""
    method: str
    variant: str = ""
    label: str
    seed: int
    status: Status
    failure: Failure | None = None
    settings: dict[str, Any]
    """The method's settings, defaults written out."""
    settings_changed: tuple[str, ...] = ()
    """Settings that the recipe or the command line moved away from the method's defaults."""
    job: dict[str, Any]
    """What the cell trained on: budget, batch, lengths, reward, precision, adapters."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """For the fairness ledger: hash of initial weights, of the set of responses seen, counts of tokens and steps."""
    environment: dict[str, Any]
    """Machine, versions, commit, whether the checkout was clean."""
    measurements: tuple[Measurement, ...] = ()
    curves: tuple[Curve, ...] = ()
    steps: StepSamples = StepSamples()
    phase_seconds: dict[str, float] = Field(default_factory=dict)
    started: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time of the cell: training and evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")
