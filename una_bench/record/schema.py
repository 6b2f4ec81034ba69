"""Format of the record of one cell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
"""Number of the record format; older formats are read, newer ones refused."""
BUDGET_UNITS = {"responses": "response", "steps": "step", "tokens": "token", "flops": "FLOP", "seconds": "s"}
"""Kind of budget -> unit."""
ADAPTED = "adapters and head"
"""The fact ``value_model_trained`` if PPO trains only adapters and the head of its value model."""
PROGRESS = "progress."
"""Prefix of the curves with the budget consumed at the points of the other curves."""


class Better(StrEnum):
    """Direction in which a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Status(StrEnum):
    """Outcome of a cell."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    NOT_APPLICABLE = "not_applicable"
    """The data cannot give the feedback that the method learns from, or the installed TRL has no trainer for it."""


class _Frozen(BaseModel):
    # JSON has no non-finite numbers, and null could not be read back.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


Reading = Annotated[float, Field(allow_inf_nan=False)]


class Measurement(_Frozen):
    """One metric of one cell."""

    metric: str
    """Dotted, most general first: ``memory.peak``, ``oracle.regret.train``, ``task.gsm8k.exact_match``."""
    unit: str
    """SI or dimensionless: ``B``, ``s``, ``token/s``, ``nat``, ``1``. Never a scaled unit."""
    better: Better
    samples: tuple[Reading, ...]
    """Every reading, unrounded, in order; must be finite. Empty if it could not be measured."""
    how: str = ""
    """Method of measurement if that is ambiguous, or the reason why it could not be measured."""
    stderr: Reading | None = None
    """Standard error within the cell (over documents), if the benchmark gives one."""

    @classmethod
    def one(cls, metric: str, unit: str, better: Better, value: float, how: str) -> Measurement:
        """Return a measurement of a single reading."""
        return cls(metric=metric, unit=unit, better=better, samples=(value,), how=how)

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


class Failure(_Frozen):
    """Reason why a cell has no result."""

    phase: str
    step: int | None = None
    reason: str
    advice: str = ""
    log_tail: tuple[str, ...] = ()


class Record(_Frozen):
    """Result of one cell, complete without the code that produced it."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["cell"] = "cell"
    run: str
    """Name of the run's folder."""
    suite: str
    cell: str
    """``METHOD[variant]-sSEED``, unique in its run."""
    key: str
    """Hash of what determines the result: recipe, settings, seed. The code is in ``facts``, apart."""
    method: str
    variant: str = ""
    label: str
    seed: int
    status: Status
    failure: Failure | None = None
    settings: dict[str, Any]
    """The method's settings, including defaults."""
    settings_changed: tuple[str, ...] = ()
    """Settings that the recipe or the command line changed from the defaults."""
    job: dict[str, Any]
    """Conditions common to all methods: budget, batch, lengths, reward, precision, adapters."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """For the fairness ledger: hash of initial weights, of the set of responses seen, counts of tokens and steps;
    ``code``: hashes of the source code (`una_bench.record.code_facts`); ``prepared``: key of the problem, hashes and
    names of policy, data and reward model."""
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

    @property
    def problem(self) -> str:
        """Key of the problem: hash of the settings of policy, data and reward; empty in records without it."""
        prepared = self.facts.get("prepared")
        return str(prepared.get("problem") or "") if isinstance(prepared, dict) else ""
