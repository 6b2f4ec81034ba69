"""The one exception that reaches a user as a message without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can fix: says what is wrong with their value, then what to do. Exit status 2."""


class Diverged(Exception):  # noqa: N818 - a result, not a mistake of the code
    """A loss that is no longer a finite number: the training ends, and its record says so."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of ``choices``, or nothing where none is near."""
    matches = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""
