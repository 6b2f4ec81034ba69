"""Columns of preference data: what each holds, and the prompt that several of them make together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError, nearest
from una_bench.problems.preference.conversations import Messages, conversation, listed, text
from una_bench.problems.preference.judged_response import Scoring

Row = Mapping[str, Any]
ALIASES = {
    "prompt": (
        "prompt",
        "question",
        "instruction",
        "conversations",
        "conversation",
        "messages",
        "context_messages",
        "input",
    ),
    "chosen": ("chosen", "chosen_response"),
    "rejected": ("rejected", "rejected_response"),
    "response": ("response", "completion", "output"),
    "label": ("label", "kto_tag"),
    "score": ("score", "rating"),
    "score_raw": ("score_raw",),
    "score_chosen": ("score_chosen", "chosen_score", "chosen-rating", "chosen_rating"),
    "score_rejected": ("score_rejected", "rejected_score", "rejected-rating", "rejected_rating"),
    "system": ("system", "system_prompt"),
    "input": ("input",),
    "history": ("history",),
    "tools": ("tools",),
    "answers": ("answers", "responses", "completions"),
    "scores": ("scores", "ratings"),
    "ranks": ("ranks", "rank"),
}
"""What a column holds -> the names that it goes by; `problem.columns` adds any other name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What was decided about a file as a whole."""

    names: Mapping[str, str]
    """What a column holds -> its name in the file."""
    scoring: Scoring
    scores: bool = True
    """Whether scores are read."""

    def get(self, row: Row, what: str) -> Any:
        """Return a cell by what it holds."""
        return row.get(self.names[what]) if what in self.names else None

    def column(self, what: str) -> str:
        """Return a column's name in the file."""
        return self.names.get(what, what)


def prompt_of(row: Row, table: Table) -> Messages:
    """Return the prompt with everything that belongs to it: system message, earlier turns, input."""
    messages = conversation(table.get(row, "prompt"), table.column("prompt"))
    more = text(table.get(row, "input"), f"column {table.column('input')}")
    if more.strip() and len(messages) > 1:
        raise UserError(
            f"column {table.column('input')} ({more!r:.40}) stands beside a prompt of {len(messages)} messages; write "
            "it into one of them, or drop the column."
        )
    if more.strip() and not messages:
        messages = conversation(more, table.column("input"))
    elif more.strip():
        messages = ({**messages[0], "content": f"{messages[0]['content']}\n{more}"},)
    return with_system(messages, row, table)


def before(row: Row, table: Table) -> Messages:
    """Return the system message and the earlier turns that stand in columns of their own."""
    turns: list[Messages] = []
    history = listed(table.get(row, "history"), table.column("history"))
    if all(isinstance(turn, dict) for turn in history):
        turns, history = [conversation(history, table.column("history"))], []
    for place, turn in enumerate(history, start=1):
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise UserError(
                f"column {table.column('history')}, turn {place} is {turn!r:.40}; a question and its answer are needed."
            )
        where = f"column {table.column('history')}, turn {place}"
        turns.append(conversation(turn[0], where))
        turns.append(conversation(turn[1], where, "assistant"))
    system = conversation(table.get(row, "system"), table.column("system"), "system")
    return system + tuple(message for turn in turns for message in turn)


def with_system(messages: Messages, row: Row, table: Table) -> Messages:
    """Put the row's own system message and earlier turns before a conversation that lacks them."""
    earlier = before(row, table)
    if not messages or messages[: len(earlier)] == earlier:
        return messages
    if earlier and messages and messages[0]["role"] == "system":
        raise UserError(
            f"column {table.column('system')} and the conversation have different system messages; keep one."
        )
    return earlier + messages


def tools_of(row: Row, table: Table) -> tuple[Any, ...]:
    """Return what the chat template may offer to call."""
    return tuple(listed(table.get(row, "tools"), table.column("tools")))


def resolve(columns: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the name in the file of everything that a column is known to hold.

    Args:
        columns: Of the file.
        given: What a column holds -> its name, as the user says it.
        where: The file, for messages.

    Raises:
        UserError: The user names what is not known, or a column that the file does not have.
    """
    for what, name in given.items():
        if what not in ALIASES:
            raise UserError(f"problem.columns has '{what}'.{nearest(what, ALIASES)} Known are {', '.join(ALIASES)}.")
        if name not in columns:
            raise UserError(
                f"{where} has no column '{name}' (problem.columns.{what}).{nearest(name, columns)} "
                f"Its columns are {', '.join(columns)}."
            )
    for name, count in Counter(given.values()).items():
        if count > 1:
            both = " and ".join(what for what in given if given[what] == name)
            raise UserError(f"problem.columns gives the column '{name}' for {both}. Each needs a column of its own.")
    names = {}
    for what, aliases in ALIASES.items():
        present = [alias for alias in aliases if alias in columns and alias not in given.values()]
        if what in given or present:
            names[what] = given.get(what) or present[0]
    if names.get("prompt") == names.get("input") and "input" in names:
        del names["input"]
    return names
