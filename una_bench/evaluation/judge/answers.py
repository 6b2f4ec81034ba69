"""Answers of a policy to the prompts, turn by turn, kept by content of model, prompts and sampling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from una_bench.errors import UserError
from una_bench.evaluation.judge.questions import Question
from una_bench.record import storage
from una_bench.record.hashes import content_hash

Write = Callable[[list[list[int]], int], tuple[list[list[int]], tuple[int, ...]]]
"""(tokens of prompts, number of the turn) -> tokens of answers, and the tokens that end one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a policy wrote to one prompt."""

    texts: tuple[str, ...]
    """Turn by turn, without special tokens."""
    raws: tuple[str, ...]
    """With special tokens, as reward functions get them."""
    tokens: int
    """Of all turns."""
    ended: bool
    """Whether every turn ended before the length limit."""

    @property
    def characters(self) -> int:
        """Length by which answers are compared, as in AlpacaEval."""
        return sum(map(len, self.texts))


def given(*texts: str) -> Answer:
    """Return an answer that no policy of the run wrote."""
    return Answer(texts=texts, raws=texts, tokens=0, ended=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Prompts in the words and tokens of a policy."""

    tokenizer: Any
    template: Mapping[str, Any]
    """``template`` of the manifest: whether prompts are put into the chat template, and what begins a text."""

    def ids(self, question: Question, answers: Sequence[str]) -> list[int]:
        """Return the tokens of the next turn, after the answers to the earlier ones."""
        if question.ids and not answers:
            return list(question.ids)
        turns = question.turns[: len(answers) + 1]
        messages: list[dict[str, str]] = []
        for number, turn in enumerate(turns):
            messages.append({"role": "user", "content": turn})
            messages += [{"role": "assistant", "content": a} for a in answers[number : number + 1]]
        text = "\n".join(message["content"] for message in messages)
        if self.template.get("chat"):
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        text = str(self.template.get("start") or "") + text
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def require_context(self, questions: Sequence[Question], most_tokens: int, context: int | None) -> None:
        """Refuse prompts that the policy's context cannot hold together with answers of ``most_tokens``."""
        for question in questions if context is not None else ():
            turns = len(question.turns)
            needed = len(self.ids(question, [""] * (turns - 1))) + turns * most_tokens
            if needed > context:  # type: ignore[operator]
                raise UserError(
                    f"The prompt {question.id} needs {needed} tokens with {turns} answer{'s' * (turns > 1)} of "
                    f"{most_tokens}, but the policy reads {context}. Leave it out, or lower "
                    "benchmarks.judge.max_new_tokens."
                )

    def answer(self, questions: Sequence[Question], write: Write) -> list[Answer]:
        """Return an answer to each prompt."""
        texts: list[list[str]] = [[] for _ in questions]
        raws: list[list[str]] = [[] for _ in questions]
        tokens, ended = [0] * len(questions), [True] * len(questions)
        for turn in range(max(len(one.turns) for one in questions)):
            active = [i for i, one in enumerate(questions) if len(one.turns) > turn]
            written, ends = write([self.ids(questions[i], texts[i]) for i in active], turn)
            for i, ids in zip(active, written, strict=True):
                texts[i].append(self.tokenizer.decode(ids, skip_special_tokens=True))
                raws[i].append(
                    self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
                )
                tokens[i] += len(ids)
                ended[i] = ended[i] and bool(ids) and ids[-1] in ends
        return [
            Answer(texts=tuple(t), raws=tuple(r), tokens=n, ended=e)
            for t, r, n, e in zip(texts, raws, tokens, ended, strict=True)
        ]


def kept(key: Mapping[str, Any], make: Callable[[], list[Answer]]) -> list[Answer]:
    """Return the answers of ``key`` from the cache, or make them and keep them."""
    file = storage.cache_folder() / "judge" / "answers" / f"{content_hash(key)}.json"
    stored = storage.read_json(file)
    if stored is not None:
        rows = stored["answers"]
        return [Answer(**row | {"texts": tuple(row["texts"]), "raws": tuple(row["raws"])}) for row in rows]
    answers = make()
    storage.write_json(file, {"answers": [asdict(one) for one in answers]})
    return answers


def save(path: Path, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
    """Write the answers beside the checkpoint, one JSON object per line."""
    lines = [
        {"id": question.id, "category": question.category, "turns": question.turns, **asdict(answer)}
        for question, answer in zip(questions, answers, strict=True)
    ]
    storage.write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
