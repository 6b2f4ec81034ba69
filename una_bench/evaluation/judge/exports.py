"""Answers in the formats of AlpacaEval and FastChat, so that the official tools can score them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from una_bench.evaluation.judge.answers import Answer
from una_bench.evaluation.judge.questions import Question
from una_bench.record import storage
from una_bench.record.hashes import content_hash


def alpaca_eval(questions: Sequence[Question], answers: Sequence[Answer], generator: str) -> list[dict[str, str]]:
    """Return what ``alpaca_eval --model_outputs`` reads; prompts of several turns have no place in it."""
    return [
        {
            "dataset": question.category,
            "instruction": question.turns[0],
            "output": answer.texts[0],
            "generator": generator,
        }
        for question, answer in zip(questions, answers, strict=True)
        if len(question.turns) == 1
    ]


def fastchat(questions: Sequence[Question], answers: Sequence[Answer], model: str) -> list[dict[str, Any]]:
    """Return the lines of FastChat's ``model_answer/MODEL.jsonl``."""
    return [
        {
            "question_id": _number(question.id),
            "answer_id": content_hash([model, question.id, answer.texts]),
            "model_id": model,
            "choices": [{"index": 0, "turns": list(answer.texts)}],
            "tstamp": 0.0,
        }
        for question, answer in zip(questions, answers, strict=True)
    ]


def fastchat_questions(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Return the lines of FastChat's ``question.jsonl``."""
    return [
        {
            "question_id": _number(one.id),
            "category": one.category or "general",
            "turns": list(one.turns),
            **({"reference": list(one.reference)} if one.reference else {}),
        }
        for one in questions
    ]


def _number(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


def write(folder: Path, questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]]) -> None:
    """Write both formats for each name, a policy or its baseline."""
    for name, given in answers.items():
        outputs = alpaca_eval(questions, given, name)
        storage.write_text(
            folder / f"alpaca_eval-{name}.json", json.dumps(outputs, ensure_ascii=False, indent=1) + "\n"
        )
        _lines(folder / f"fastchat-{name}.jsonl", fastchat(questions, given, name))
    _lines(folder / "fastchat-question.jsonl", fastchat_questions(questions))


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    storage.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
