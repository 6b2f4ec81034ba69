"""Layouts of preference data: the columns of each, and how its rows become judged responses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.columns import Row, Table, before, prompt_of, tools_of, with_system
from una_bench.problems.preference.conversations import (
    Messages,
    common_prefix,
    conversation,
    empty,
    listed,
)
from una_bench.problems.preference.judged_response import Judged, ScoreError, Scoring, missing, number

UNIT = (0.0, 1.0)
ULTRAFEEDBACK = (1.0, 10.0)
"""Range of UltraFeedback's overall scores."""
WORDS = ("answer", "response", "completion", "text", "content", "output")
"""Names that data sets of several answers give to the words of one."""
GRADES = ("overall_score", "score", "rating")
TURN = re.compile(r"<extra_id_1>(User|Assistant)\n")
"""Marks where a speaker begins within HelpSteer2's prompts of several turns."""
TRUE, FALSE = frozenset({"true", "1", "1.0"}), frozenset({"false", "0", "0.0"})


Reader = Callable[[Row, Table], Iterator[Judged | None]]
"""Reads a row; None stands for an answer whose judgment is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A known layout."""

    about: str
    needs: tuple[str, ...]
    """What its columns hold; without one of them it is not this layout."""
    read: Reader
    uses: tuple[str, ...] = ()
    """What it reads beside what it needs, where the file has it."""
    extra: tuple[str, ...] = field(default=())
    """Columns that it needs under just this name."""


def _judged(
    row: Row, table: Table, prompt: Messages, completion: Messages, *, column: str = "", **judgment: Any
) -> Judged:
    """Return one response after checking who speaks: the user (or a tool) last, then the assistant first and last.

    ``column`` is where the response stands, for messages.
    """
    if not empty(prompt) and prompt[-1]["role"] not in {"user", "tool"}:
        raise UserError(f"the prompt ends with the {prompt[-1]['role']}'s message; the user (or a tool) must ask last.")
    if not empty(completion):
        for place, which in ((0, "begins"), (-1, "ends")):
            if completion[place]["role"] != "assistant":
                raise UserError(
                    f"{f'column {column}' if column else 'the response'} {which} with the "
                    f"{completion[place]['role']}'s message "
                    f"({completion[place]['content']!r:.40}); the assistant's is needed there."
                )
    return Judged(messages=prompt, completion=completion, tools=tools_of(row, table), **judgment)


def _parted(row: Row, table: Table, column: str) -> tuple[Messages, Messages]:
    """Return prompt and response of a row, whose conversation may hold the response at its end."""
    if column in table.names:
        answer = conversation(table.get(row, column), table.column(column), "assistant")
        return prompt_of(row, table), answer
    whole = with_system(conversation(table.get(row, "prompt"), table.column("prompt")), row, table)
    if empty(whole):
        return (), ()
    if whole[-1]["role"] != "assistant":
        raise UserError(
            f"column {table.column('prompt')} ends with the {whole[-1]['role']}'s message "
            f"({whole[-1]['content']!r:.40}), and there is no column response; name it: "
            "problem.columns={response: …}."
        )
    return whole[:-1], whole[-1:]


def _helpsteer(row: Row, table: Table) -> Iterator[Judged]:
    raw, score = table.scoring.weighted(row)
    words = table.get(row, "prompt")
    split = isinstance(words, str) and table.scoring.turns == "split"
    messages = turns(words) if split else conversation(words, "prompt")
    answer = conversation(table.get(row, "response"), table.column("response"), "assistant")
    yield _judged(row, table, messages, answer, raw=raw, score=score)


def turns(prompt: str) -> Messages:
    """Split a HelpSteer2 prompt into its turns; the first is the user's."""
    first, *rest = TURN.split(prompt)
    later = [(role.lower(), words.strip("\n")) for role, words in zip(rest[::2], rest[1::2], strict=True)]
    parts = [("user", first.strip("\n") if later else first), *later]
    return tuple(m for role, words in parts if words.strip() for m in conversation(words, "prompt", role))


def _pair(row: Row, table: Table) -> Iterator[Judged]:
    prompt, chosen, rejected = _sides(row, table)
    for side, completion in ((True, chosen), (False, rejected)):
        column = "score_chosen" if side else "score_rejected"
        raw = score = float(side)
        if table.scores and {"score_chosen", "score_rejected"} <= table.names.keys():
            raw, score = table.scoring.scaled(table.get(row, column), None, table.column(column))
        name = table.column("chosen" if side else "rejected")
        yield _judged(row, table, prompt, completion, column=name, raw=raw, score=score, side=side)


def _sides(row: Row, table: Table) -> tuple[Messages, Messages, Messages]:
    """Return prompt, preferred and other response; a prompt within both conversations is what they begin with alike.

    As `trl.data_utils.extract_prompt` and ``maybe_extract_prompt`` have it.
    """
    cells = [table.get(row, side) for side in ("chosen", "rejected")]
    chosen, rejected = (
        conversation(cell, table.column(side), "assistant")
        for cell, side in zip(cells, ("chosen", "rejected"), strict=True)
    )
    asked = prompt_of(row, table)
    whole = any(messages and messages[0]["role"] != "assistant" for messages in (chosen, rejected))
    for cell in (chosen, rejected):
        if empty(cell) or (whole and empty(cell[-1:]) and cell[-1]["role"] == "assistant"):
            return asked, (), ()
    if not whole:
        if empty(asked) and "prompt" not in table.names:
            raise UserError(
                "chosen and rejected are answers alone, so a column prompt is needed; name it: "
                "problem.columns={prompt: …}."
            )
        return asked, chosen, rejected
    if (chosen[0]["role"] == "assistant") != (rejected[0]["role"] == "assistant"):
        first = "chosen" if rejected[0]["role"] == "assistant" else "rejected"
        raise UserError(
            f"column {table.column(first)} holds a conversation, and the other side an answer alone; write both in "
            "the same way."
        )
    chosen, rejected = (with_system(messages, row, table) for messages in (chosen, rejected))
    alike = common_prefix(chosen, rejected)
    if alike == min(len(chosen), len(rejected)):  # one goes on where the other ends, or both are the same
        alike -= 1
    if (
        alike <= len(before(row, table))
        or chosen[alike]["role"] != "assistant"
        or rejected[alike]["role"] != "assistant"
    ):
        parted = [messages[max(alike, 0)] for messages in (chosen, rejected)]
        each = " and ".join(f"{message['role']} {message['content']!r:.40}" for message in parted)
        raise UserError(
            f"chosen and rejected part in message {alike + 1} ({each}); they must begin with the same prompt and part "
            "in the assistant's answer."
        )
    prompt = chosen[:alike]
    for message in asked:
        if not any(message["content"].strip() == one["content"].strip() for one in prompt):
            raise UserError(
                f"column {table.column('prompt')} ({message['content']!r:.40}) is not among the messages that chosen "
                "and rejected begin with; drop the column, or mend the row."
            )
    return prompt, chosen[alike:], rejected[alike:]


def _label(value: Any, column: str) -> bool:
    """Return a label as true or false.

    Raises:
        ScoreError: There is none.
        UserError: It is something else.
    """
    if missing(value):
        raise ScoreError
    word = str(value).strip().lower()
    if word not in TRUE | FALSE:
        raise UserError(f"column {column} holds {value!r:.60}; true or false (or 1 or 0) is needed.")
    return word in TRUE


def _labeled(row: Row, table: Table) -> Iterator[Judged]:
    label = _label(table.get(row, "label"), table.column("label"))
    prompt, completion = _parted(row, table, "response")
    yield _judged(row, table, prompt, completion, raw=float(label), score=float(label), label=label)


def _scored(row: Row, table: Table) -> Iterator[Judged]:
    raw, score = table.scoring.scaled(table.get(row, "score"), UNIT, table.column("score"))
    if table.get(row, "score_raw") is not None:
        raw = number(table.get(row, "score_raw"), table.column("score_raw"))
    prompt, completion = _parted(row, table, "response")
    yield _judged(row, table, prompt, completion, raw=raw, score=score)


def _answer(answer: Any, place: int, table: Table) -> Messages:
    """Return the words of one of several answers, which has its judgment beside it."""
    column = table.column("answers")
    if not isinstance(answer, Mapping):
        raise UserError(
            f"column {column}, answer {place} is {answer!r:.40}; an object with its text and its rank or score is "
            "needed, or a column ranks or scores."
        )
    key = next((key for key in WORDS if key in answer), None)
    if key is None:
        raise UserError(
            f"column {column}, answer {place} has the keys {', '.join(answer)}; one of {', '.join(WORDS)} is needed."
        )
    return conversation(answer[key], f"{column}, answer {place}", "assistant")


def _ultrafeedback(row: Row, table: Table) -> Iterator[Judged | None]:
    messages = prompt_of(row, table)
    for place, completion in enumerate(listed(table.get(row, "answers"), table.column("answers")), start=1):
        answer = _answer(completion, place, table)
        try:
            grade = completion.get("overall_score")
            raw, score = table.scoring.scaled(grade, ULTRAFEEDBACK, "completions.overall_score")
        except ScoreError:
            yield None  # one judgment of four is missing; the other three stand
            continue
        yield _judged(row, table, messages, answer, raw=raw, score=score)


def _several(row: Row, table: Table) -> Iterator[Judged | None]:
    """Several answers with a rank (1 is best) or a score each, in one list or in two lists side by side."""
    prompt, column = prompt_of(row, table), table.column("answers")
    answers = listed(table.get(row, "answers"), column)
    what = "scores" if "scores" in table.names else "ranks"
    grades = listed(table.get(row, what), table.column(what)) if what in table.names else None
    if grades is not None and len(grades) != len(answers):
        raise UserError(f"{column} has {len(answers)} answers and {table.column(what)} {len(grades)} judgments.")
    for place, answer in enumerate(answers, start=1):
        if isinstance(answer, Mapping) or grades is None:
            completion = _answer(answer, place, table)
        else:
            completion = conversation(answer, f"{column}, answer {place}", "assistant")
        if grades is not None:
            grade, name, ranked = grades[place - 1], table.column(what), what == "ranks"
        else:
            key = next((key for key in (*GRADES, "rank") if not missing(answer.get(key))), "")
            grade, name, ranked = answer.get(key), f"{column}.{key}", key == "rank"
        try:
            raw, score = (-number(grade, name), math.nan) if ranked else table.scoring.scaled(grade, None, name)
        except ScoreError:
            yield None
            continue
        yield _judged(row, table, prompt, completion, raw=raw, score=score)


def _shp(row: Row, table: Table) -> Iterator[Judged]:
    """Stanford Human Preferences: ``labels`` is 1 where answer A is preferred."""
    prompt = conversation(row["history"], "history")
    first = _label(row["labels"], "labels")
    for column, side in (("human_ref_A", first), ("human_ref_B", not first)):
        answer = conversation(row[column], column, "assistant")
        yield _judged(row, table, prompt, answer, raw=float(side), score=float(side), side=side)


_PROMPT = ("system", "input", "history", "tools")


def layouts(scoring: Scoring) -> dict[str, Layout]:
    """Layouts by name, the most telling first."""
    attributes = tuple(scoring.weights)
    return {
        "helpsteer": Layout(
            about="attributes", needs=("prompt", "response"), extra=attributes, read=_helpsteer, uses=("tools",)
        ),
        "shp": Layout(
            about="two answers", needs=(), extra=("history", "human_ref_A", "human_ref_B", "labels"), read=_shp
        ),
        "ultrafeedback": Layout(
            about="several scored answers",
            needs=("prompt", "answers"),
            extra=("instruction", "completions"),
            read=_ultrafeedback,
            uses=("system",),
        ),
        "pairs": Layout(
            about="pairs, scored or not",
            needs=("chosen", "rejected"),
            read=_pair,
            uses=("prompt", *_PROMPT, "score_chosen", "score_rejected"),
        ),
        "labeled": Layout(
            about="desirable or not", needs=("prompt", "label"), read=_labeled, uses=("response", *_PROMPT)
        ),
        "scored": Layout(
            about="scored responses", needs=("prompt", "score"), read=_scored, uses=("response", "score_raw", *_PROMPT)
        ),
        "several": Layout(
            about="several answers with a rank or a score each",
            needs=("prompt", "answers"),
            read=_several,
            uses=("scores", "ranks", *_PROMPT),
        ),
    }
