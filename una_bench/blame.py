"""Where an error came from: noted on the error itself, on its way out of a training."""

from __future__ import annotations

from typing import Any

_NOTES = "_una_bench_notes"


def note(error: BaseException, **facts: Any) -> None:
    """Remember ``facts`` with ``error``; what was noted first, further inside, stays."""
    vars(error).setdefault(_NOTES, {}).update({**facts, **vars(error).get(_NOTES, {})})


def notes(error: BaseException | None) -> dict[str, Any]:
    """Return what was noted with ``error``, or with what it was raised from."""
    found: dict[str, Any] = {}
    while error is not None:
        found = {**found, **vars(error).get(_NOTES, {})}
        error = error.__cause__ or error.__context__
    return found
