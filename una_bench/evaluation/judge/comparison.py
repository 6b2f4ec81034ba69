"""Comparison of two sets of answers by a judge, in both orders, and grades of one set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from una_bench.evaluation.judge import requests
from una_bench.evaluation.judge.answers import Answer
from una_bench.evaluation.judge.judge_prompt import FIRST, TIE, JudgePrompt, Kind
from una_bench.evaluation.judge.questions import Question
from una_bench.evaluation.judge.requests import Asked, Judge, Request, Verdict

ORDERS = (0, 1)
"""0: our answer is A; 1: it is B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The verdicts on one prompt: by repetition and order, from our side."""

    points: tuple[tuple[float | None, float | None], ...]
    """Per repetition and order 1 for our answer, 0 for the other, 0.5 for a tie, None if it cannot be read."""
    verdicts: tuple[tuple[Verdict | None, ...], ...]
    """As given; empty for equal answers, which tie without being asked about."""
    lengths: tuple[int, int]
    """Characters of our answer and of the other."""

    @property
    def same(self) -> bool:
        """Whether both answers are equal."""
        return not self.verdicts

    @property
    def score(self) -> float | None:
        """Mean of all points; None if one could not be read, as a single order would let its position in."""
        points = [point for pair in self.points for point in pair]
        return fmean(p for p in points if p is not None) if None not in points else None


def transcript(question: Question, answer: Answer) -> str:
    """Return an answer as a judge reads it: with several turns, the user's later ones stand between."""
    if len(answer.texts) == 1:
        return answer.texts[0]
    later = [
        f"[User]\n{turn}\n\n[Answer]\n{text}" for turn, text in zip(question.turns[1:], answer.texts[1:], strict=False)
    ]
    return "\n\n".join([answer.texts[0], *later])


def compare(
    judge: Judge,
    prompt: JudgePrompt,
    questions: Sequence[Question],
    sides: tuple[Sequence[Answer], Sequence[Answer]],
    repeats: int,
) -> tuple[list[Compared], Asked]:
    """Return the verdicts on each prompt, and what they took."""
    ours, theirs = sides
    asked_about = [i for i in range(len(questions)) if ours[i].raws != theirs[i].raws]
    wanted = [
        _request(prompt, questions[i], (ours[i], theirs[i]) if order == 0 else (theirs[i], ours[i]), repeat)
        for i in asked_about
        for repeat in range(repeats)
        for order in ORDERS
    ]
    asked = requests.ask(judge, wanted)
    verdicts = iter(asked.verdicts)
    by_place = {i: tuple(tuple(next(verdicts) for _ in ORDERS) for _ in range(repeats)) for i in asked_about}
    compared = []
    for i in range(len(questions)):
        given = by_place.get(i, ())
        points = tuple((_point(pair[0], 0), _point(pair[1], 1)) for pair in given) or ((0.5, 0.5),) * repeats
        lengths = (ours[i].characters, theirs[i].characters)
        compared.append(Compared(points=points, verdicts=given, lengths=lengths))
    return compared, asked


def _request(prompt: JudgePrompt, question: Question, pair: tuple[Answer, Answer], repeat: int) -> Request:
    a, b = pair
    values = {"prompt": question.turns[0], "answer_a": transcript(question, a), "answer_b": transcript(question, b)}
    raw = {"prompt": question.prompt or question.turns[0], "a": "\n".join(a.raws), "b": "\n".join(b.raws)}
    return Request(kind=Kind.PAIRWISE, prompt=prompt, values=values, raw=raw, repeat=repeat)


def _point(verdict: Verdict | None, order: int) -> float | None:
    if verdict is None or verdict.value is None:
        return None
    if verdict.value == TIE:
        return 0.5
    return float((verdict.value == FIRST) == (order == 0))


def grade(
    judge: Judge, prompt: JudgePrompt, questions: Sequence[Question], answers: Sequence[Answer], repeats: int
) -> tuple[list[tuple[Verdict | None, ...]], Asked]:
    """Return the grades of each answer by repetition, and what they took."""
    wanted = [
        Request(
            kind=Kind.GRADE,
            prompt=prompt,
            values={"prompt": question.turns[0], "answer": transcript(question, answer)},
            repeat=repeat,
        )
        for question, answer in zip(questions, answers, strict=True)
        for repeat in range(repeats)
    ]
    asked = requests.ask(judge, wanted)
    verdicts = iter(asked.verdicts)
    return [tuple(next(verdicts) for _ in range(repeats)) for _ in questions], asked


def shown(verdicts: Sequence[Sequence[Verdict | None]]) -> list[dict[str, Any]]:
    """Return verdicts as plain data for the report: what was preferred, and the judge's words."""
    return [
        {"order": order, "value": one.value, "reply": one.text or one.refused}
        for pair in verdicts
        for order, one in enumerate(pair)
        if one is not None
    ]
