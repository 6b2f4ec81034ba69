"""From what a worker left to the record of its cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from una_bench.orchestration.process_pool import Outcome
from una_bench.record.schema import Failure, Record, Status

ADVICE = {
    Status.OUT_OF_MEMORY: "Lower batch_responses, use lora, or choose a smaller model, for every method alike.",
    Status.TIMEOUT: "Raise timeout_minutes, or see in the log where it stood; then --retry failed.",
    Status.KILLED: "See whether the machine ran out of memory; then --retry failed.",
    Status.DIVERGED: "Lower learning_rate for every method, or report the divergence: it is a result.",
    Status.FAILED: "train.log or evaluate-N.log has the traceback; when the cause is gone, --retry failed.",
    Status.INTERRUPTED: "The same command goes on from here.",
}

CAUSES = {
    "No space left on device": "Free space where the run's folder is; then --retry failed.",
    "Disk quota exceeded": "Free space where the run's folder is; then --retry failed.",
    "Read-only file system": "Make the folder writable, or choose another --out; then --retry failed.",
    "Permission denied": "Give the right to write there, or choose another --out; then --retry failed.",
}
"""What helps, by words of the reason, where these say more than the status."""


def advice(outcome: Outcome) -> str:
    """Return what to try."""
    known = (text for words, text in CAUSES.items() if words in outcome.reason)
    return next(known, ADVICE.get(outcome.status, ""))


def finished_record(common: Mapping[str, Any], trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> Record:
    """Return the record of a cell that was trained and evaluated."""
    return Record.model_validate(
        {
            **common,
            "status": Status.OK,
            "facts": trained["facts"],
            "environment": trained["environment"],
            "measurements": [*trained["measurements"], *evaluated["measurements"]],
            "curves": trained["curves"],
            "steps": trained["steps"],
            "phase_seconds": trained["phase_seconds"],
            "seconds": trained["seconds"] + evaluated["seconds"],
        }
    )


def failed_record(common: Mapping[str, Any], outcome: Outcome, phase: str) -> Record:
    """Return the record of a cell that has no result, with what is known of why."""
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


def _writable(text: str) -> str:
    """Return text that a file can hold: names of files need not be."""
    return text.encode(errors="replace").decode()
