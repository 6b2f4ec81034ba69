"""Format of the record of one cell."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from una_bench.errors import UserError
from una_bench.record.samples import PROGRESS, Better, Curve, Frozen, StepSamples

__all__ = ["PROGRESS", "Better", "Curve", "Failure", "Measurement", "Record", "Status", "StepSamples"]
SCHEMA = 2
"""Number of the record format; older formats are read, newer ones refused."""
BUDGET_UNITS = {"responses": "response", "steps": "step", "tokens": "token", "flops": "FLOP", "seconds": "s"}
"""Kind of budget -> unit."""
ADAPTED = "adapters and head"
"""The fact ``value_model_trained`` if PPO trains only adapters and the head of its value model."""


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


Reading = Annotated[float, Field(allow_inf_nan=False)]


class Measurement(Frozen):
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


def _whole(text: str) -> str:
    from una_bench.record import series

    return series.check(text)


class Failure(Frozen):
    """Reason why a cell has no result."""

    phase: str
    step: int | None = None
    reason: str
    advice: str = ""
    log_tail: tuple[str, ...] = ()


class Record(Frozen):
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
    ``evaluation``: seconds and peak memory of each benchmark that evaluated the checkpoint, its models included;
    ``code``: hashes of the source code (`una_bench.record.code_facts`); ``prepared``: key of the problem, hashes and
    names of policy, data and reward model."""
    environment: dict[str, Any]
    """Machine, versions, commit, whether the checkout was clean."""
    measurements: tuple[Measurement, ...] = ()
    plain_curves: tuple[Curve, ...] = Field(default=(), alias="curves")
    plain_steps: StepSamples = Field(default=StepSamples(), alias="steps")
    series: Annotated[str, AfterValidator(_whole)] = ""
    """Curves and steps as one short text; then they are not in the two fields above."""
    phase_seconds: dict[str, float] = Field(default_factory=dict)
    started: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time of the cell: training and evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")

    @cached_property
    def unpacked(self) -> tuple[tuple[Curve, ...], StepSamples]:
        """Curves and steps, unpacked at the first use."""
        from una_bench.record import series

        try:
            return series.unpack(self.series) if self.series else (self.plain_curves, self.plain_steps)
        except ValueError as error:
            advice = "Remove its line from records.jsonl; the cell is then run again."
            raise UserError(f"The record of {self.cell!r} in {self.run!r}: {error}. {advice}") from None

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Curves along training."""
        return self.unpacked[0]

    @property
    def steps(self) -> StepSamples:
        """Raw samples of each step."""
        return self.unpacked[1]

    def __eq__(self, other: object) -> bool:
        """Return whether two records say the same, whether their curves and steps are packed or not."""
        if not isinstance(other, Record):
            return NotImplemented
        stored = {"plain_curves", "plain_steps", "series"}
        names = Record.model_fields.keys() - stored
        return all(getattr(self, n) == getattr(other, n) for n in names) and self.unpacked == other.unpacked

    @property
    def problem(self) -> str:
        """Key of the problem: hash of the settings of policy, data and reward; empty in records without it."""
        prepared = self.facts.get("prepared")
        return str(prepared.get("problem") or "") if isinstance(prepared, dict) else ""
