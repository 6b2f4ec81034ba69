"""Records of cells, from the results of their workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from una_bench.orchestration.executor import Outcome
from una_bench.record.schema import Failure, Record, Status

ADVICE = {
    Status.OUT_OF_MEMORY: "Lower batch_responses, use lora, or choose a smaller model, equally for all methods.",
    Status.TIMEOUT: "Raise timeout_minutes, or find the cause in the log; then use --retry failed.",
    Status.KILLED: "Check whether the machine ran out of memory; then use --retry failed.",
    Status.DIVERGED: "Lower learning_rate for all methods, or report the divergence as a result.",
    Status.FAILED: "See the traceback in train.log or evaluate-N.log, fix the cause; then use --retry failed.",
    Status.INTERRUPTED: "Run the same command to resume.",
}

CAUSES = {
    "No space left on device": "Free disk space for the run's folder; then use --retry failed.",
    "Disk quota exceeded": "Free disk space for the run's folder; then use --retry failed.",
    "Read-only file system": "Make the folder writable, or choose another --out; then use --retry failed.",
    "Permission denied": "Make the folder writable, or choose another --out; then use --retry failed.",
}
"""Advice by words of the reason, which goes before advice by status."""


def advice(outcome: Outcome) -> str:
    """Return the advice for a failure."""
    by_cause = (text for words, text in CAUSES.items() if words in outcome.reason)
    return next(by_cause, ADVICE.get(outcome.status, ""))


def finished_record(common: Mapping[str, Any], trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> Record:
    """Return the record of a cell that was trained and evaluated."""
    return Record.model_validate(
        {
            **common,
            "status": Status.OK,
            "facts": {**trained["facts"], **evaluated.get("facts", {}), **common["facts"]},
            **{part: trained[part] for part in ("environment", "curves", "steps", "phase_seconds")},
            "measurements": [*trained["measurements"], *evaluated["measurements"]],
            "seconds": trained["seconds"] + evaluated["seconds"],
        }
    )


def failed_record(common: Mapping[str, Any], outcome: Outcome, phase: str) -> Record:
    """Return the record of a cell without result."""
    failure = Failure(
        phase=outcome.phase or phase,
        step=outcome.step,
        reason=_writable(outcome.reason),
        advice=advice(outcome),
        log_tail=tuple(map(_writable, outcome.log_tail)),
    )
    return Record.model_validate(
        {**common, "status": outcome.status, "failure": failure, "environment": {}, "seconds": outcome.seconds}
    )


def not_applicable_record(common: Mapping[str, Any], reason: str, advice: str = "") -> Record:
    """Return the record of a cell whose method cannot learn from the data, or is not run until ``advice`` is taken."""
    failure = Failure(phase="prepare", step=None, reason=reason, advice=advice, log_tail=())
    return Record.model_validate(
        {**common, "status": Status.NOT_APPLICABLE, "failure": failure, "environment": {}, "seconds": 0.0}
    )


def _writable(text: str) -> str:
    """Return text that can be encoded as UTF-8; file names may contain bytes that cannot."""
    return text.encode(errors="replace").decode()
