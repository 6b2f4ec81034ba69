"""The one exception that reaches a user as a message without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can fix: says what is wrong with their value, then what to do. Exit status 2."""


class Diverged(Exception):  # noqa: N818 - a result, not a mistake of the code
    """A loss that is no longer a finite number: the training ends, and its record says so."""


PLAIN = {
    "valid dictionary or instance of Source": "name, or keys and values",
    "valid dictionary or instance of": "set of keys and values, as of",
    "valid dictionary": "set of keys and values",
    "valid tuple": "list, as [a, b]",
    "valid list": "list, as [a, b]",
}
"""What pydantic calls by Python's names, in the words of a recipe."""


def expected(said: str) -> str:
    """Return what a validator says of a value, to stand within a sentence."""
    text = said.removeprefix("Value error, ")
    for theirs, ours in PLAIN.items():
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of ``choices``, or nothing where none is near."""
    matches = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""
