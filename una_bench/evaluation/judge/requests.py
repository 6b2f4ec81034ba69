"""Requests to a judge, the replies kept by content so that nothing is judged twice, and what a judge must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from una_bench.evaluation.judge import judge_prompt
from una_bench.evaluation.judge.judge_prompt import JudgePrompt, Kind
from una_bench.record import storage
from una_bench.record.hashes import content_hash


class JudgeGoneError(Exception):
    """A judge that no longer answers; the message says why, without any key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a judge."""

    kind: Kind
    prompt: JudgePrompt
    values: Mapping[str, str]
    raw: Mapping[str, str] = field(default_factory=dict)
    """``prompt``, ``a`` and ``b`` as reward functions get them."""
    repeat: int = 0
    """Number of the repetition of the same question."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """Messages as sent."""
        return self.prompt.messages(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a judge replied to one request."""

    text: str = ""
    refused: str = ""
    """Why there is no reply that could be kept: another request may get one."""
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A reply as read."""

    value: str | float | None
    """``first``, ``second``, ``tie``, a grade, or None if it cannot be read."""
    text: str
    refused: str = ""


class Judge(Protocol):
    """Whoever gives verdicts."""

    @property
    def name(self) -> str:
        """Name for tables and records, without paths of this machine and without credentials."""

    def identity(self) -> Mapping[str, Any]:
        """Return what determines its replies; empty: they are not kept."""

    def ask(self, requests: Sequence[Request], keep: Callable[[int, Reply], None]) -> None:
        """Pass each reply to ``keep`` as it comes, with the number of its request; raise `JudgeGoneError`."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """Verdicts on some requests, and what they took."""

    verdicts: list[Verdict | None]
    """None: there is no verdict, because the judge is gone."""
    sent: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    gone: str = ""
    """Why the judge is gone; empty if it is not."""

    @property
    def missing(self) -> int:
        """Number of requests without a verdict."""
        return sum(one is None for one in self.verdicts)


def ask(judge: Judge, requests: Sequence[Request]) -> Asked:
    """Return the verdict on each request, from the cache if this judge has given it before."""
    identity = dict(judge.identity())
    files = [_file(identity, request) for request in requests] if identity else []
    asked = Asked(verdicts=[None] * len(requests))
    for place, file in enumerate(files):
        asked.verdicts[place] = _kept(file, requests[place].kind)
    waiting = [i for i, verdict in enumerate(asked.verdicts) if verdict is None]

    def keep(number: int, reply: Reply) -> None:
        place = waiting[number]
        asked.sent += 1
        asked.tokens_in += reply.tokens_in
        asked.tokens_out += reply.tokens_out
        asked.verdicts[place] = _verdict(reply.text, requests[place].kind, reply.refused)
        if files and not reply.refused:
            storage.write_json(files[place], {"text": reply.text})

    if waiting:
        try:
            judge.ask([requests[i] for i in waiting], keep)
        except JudgeGoneError as error:
            asked.gone = str(error)
    return asked


def _verdict(text: str, kind: Kind, refused: str = "") -> Verdict:
    return Verdict(value=None if refused else judge_prompt.read(text, kind), text=text, refused=refused)


def _kept(file: Path, kind: Kind) -> Verdict | None:
    reply = storage.read_json(file)
    return _verdict(str(reply["text"]), kind) if reply and "text" in reply else None


def _file(identity: Mapping[str, Any], request: Request) -> Path:
    name = content_hash(
        {
            "judge": dict(identity),
            "kind": request.kind,
            "prompt": request.prompt.sha256,
            "messages": request.messages,
            "repeat": request.repeat,
        }
    )
    return storage.cache_folder() / "judge" / "verdicts" / name[:2] / f"{name}.json"
