"""Prompts of judges: files with a version, the places that they must have, and how verdicts are read from replies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "prompts"


class Kind(StrEnum):
    """What a judge is asked."""

    PAIRWISE = "pairwise"
    GRADE = "grade"


def asked(kinds: str) -> tuple[Kind, ...]:
    """Return the kinds that the setting ``kinds`` names."""
    return tuple(Kind) if kinds == "both" else (Kind(kinds),)


FIRST, SECOND, TIE = "first", "second", "tie"
PLACES = {Kind.PAIRWISE: ("prompt", "answer_a", "answer_b"), Kind.GRADE: ("prompt", "answer")}
"""Places that a prompt must have, as ``{answer_a}``."""
MARKS: dict[Kind, dict[str, str | int]] = {
    Kind.PAIRWISE: {"[[A]]": FIRST, "[[B]]": SECOND, "[[C]]": TIE},
    Kind.GRADE: {f"[[{grade}]]": grade for grade in range(1, 11)},
}
"""Mark at the end of a reply -> verdict; as in FastChat's judge."""
MARK = re.compile(r"\[\[\s*([ABC]|\d+(?:\.\d+)?)\s*\]\]")
_PLACE = re.compile(r"\{(prompt|answer_a|answer_b|answer)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """The prompt of a judge."""

    version: str
    system: str
    user: str
    sha256: str
    """Hash of its file."""

    def messages(self, values: Mapping[str, str]) -> list[dict[str, str]]:
        """Return the messages of one request; what answers contain is never taken for a place."""
        user = _PLACE.sub(lambda place: values.get(place[1], place[0]), self.user)
        return [
            *([{"role": "system", "content": self.system}] if self.system else []),
            {"role": "user", "content": user},
        ]

    @property
    def described(self) -> str:
        """Version and hash."""
        return f"{self.version} (sha256 {self.sha256[:12]})"


def load(file: str, kind: Kind) -> JudgePrompt:
    """Read a prompt, the one of una-bench if ``file`` is empty.

    Raises:
        ValueError: The file cannot be read, or lacks a place or the form of the verdict.
    """
    path = Path(file).expanduser() if file else FOLDER / f"{kind}.yaml"
    try:
        content = path.read_bytes()
        raw: Any = yaml.safe_load(content)
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}): give a YAML file with version and user") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{file} is not valid YAML: give version, system and user, text in block style (|-)") from None
    texts = {key: raw.get(key) for key in ("version", "system", "user")} if isinstance(raw, dict) else {}
    if not all(isinstance(texts.get(key), str | int | float) for key in ("version", "user")):
        raise ValueError(f"{file} must have the keys version and user; system is optional")
    user = str(texts["user"])
    missing = [f"{{{place}}}" for place in PLACES[kind] if f"{{{place}}}" not in user]
    if missing:
        raise ValueError(f"{file} lacks the place{'s' * (len(missing) > 1)} {', '.join(missing)} in user: add it")
    form = "[[A]], [[B]] and [[C]]" if kind is Kind.PAIRWISE else "[[5]]"
    needed = ("[[A]]", "[[B]]") if kind is Kind.PAIRWISE else ("[[",)
    if not all(mark in f"{texts['system'] or ''}{user}" for mark in needed):
        raise ValueError(f"{file} does not ask for a verdict that can be read: ask to end with {form}")
    return JudgePrompt(
        version=str(texts["version"]),
        system=str(texts["system"] or ""),
        user=user,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def read(reply: str, kind: Kind) -> str | float | None:
    """Return the verdict at the end of a reply, None if it has none.

    The last mark counts: a judge may quote one before it decides. A grade may have decimals.
    """
    marks = MARK.findall(reply)
    if not marks:
        return None
    if kind is Kind.PAIRWISE:
        verdict = MARKS[kind].get(f"[[{marks[-1]}]]")
        return str(verdict) if verdict is not None else None
    if marks[-1].isalpha():
        return None
    grade = float(marks[-1])
    return grade if 1 <= grade <= 10 else None
