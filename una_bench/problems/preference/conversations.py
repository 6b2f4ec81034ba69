"""Conversations: every common form of a prompt or an answer, as a list of messages."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from una_bench.errors import UserError

Message = dict[str, Any]
"""``role`` and ``content``, and what else a chat template may read: ``tool_calls``, ``tool_call_id``, ``name``."""
Messages = tuple[Message, ...]
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""Names of speakers in data -> names that chat templates know."""
KEPT = ("tool_calls", "tool_call_id", "name", "reasoning_content")
_HH = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_LIST = re.compile(r"\s*(?:array\()?\[\s*\{")
_KEYS = [
    [re.compile(rf"""['"]{name}['"]\s*:""") for name in names] for names in (("role", "content"), ("from", "value"))
]
"""Keys of messages, as a file writes them that holds a list of messages as text."""


def conversation(value: Any, column: str, role: str = "user") -> Messages:
    """Return a cell as messages: text is one message of ``role``, a list or one message stays what it is.

    Text in the form of Anthropic's HH data ("Human: … Assistant: …") and a list of messages that a file holds as text
    are recognized. Nothing, or white space alone, is no message.

    Raises:
        UserError: It is neither, a message has another speaker or no text, or holds what cannot be encoded.
    """
    if isinstance(value, str):
        return _from_text(value, column, role)
    if isinstance(value, dict):
        value = [value]
    if value is None or (isinstance(value, list | tuple) and not value):
        return ()
    if isinstance(value, list | tuple):
        return tuple(_message(one, f"column {column}, message {place}") for place, one in enumerate(value, start=1))
    if value != value:
        return ()
    return ({"role": role, "content": text(value, f"column {column}")},)


def text(value: Any, where: str) -> str:
    """Return a cell as text: whole numbers are taken as they are written, nothing is empty.

    Raises:
        UserError: It is something else, or cannot be encoded.
    """
    if value is None or value != value:  # not a number: a missing cell
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(f"{where} holds {value!r:.60}; text or a list of messages (role, content) is needed.")
    return _encodable(value, where)


def listed(value: Any, column: str) -> list[Any]:
    """Return a cell that must be a list, which a file may hold as text; nothing is an empty one.

    Raises:
        UserError: It is something else.
    """
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return []
    items = _parsed(value) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise UserError(f"column {column} holds {value!r:.60}; a list is needed, in JSON where it is text.")
    return list(items)


def common_prefix(first: Sequence[Message], second: Sequence[Message]) -> int:
    """Return how many messages two conversations begin with alike."""
    alike = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        alike += 1
    return alike


def empty(messages: Messages) -> bool:
    """Whether no message says anything."""
    return not any(str(message["content"]).strip() or message.get("tool_calls") for message in messages)


def key(messages: Messages) -> str:
    """Return what makes two prompts the same: speakers and words, white space around them aside."""
    return json.dumps(
        [{**message, "content": message["content"].strip()} for message in messages], ensure_ascii=False, sort_keys=True
    )


def _from_text(value: str, column: str, role: str) -> Messages:
    if not value.strip():
        return ()
    if _LIST.match(value) and any(all(key.search(value) for key in keys) for keys in _KEYS):
        items = _parsed(value)
        if isinstance(items, list) and all(isinstance(one, dict) and _speaker(one) for one in items):
            return conversation(items, column, role)
        if items is None:
            raise UserError(f"column {column} holds a list of messages that is not valid JSON ({value!r:.40}).")
    _encodable(value, f"column {column}")
    marked = value.startswith(("\n\nHuman:", "\n\nAssistant:"))
    if marked or (value.lstrip().startswith("Human:") and "\n\nAssistant:" in value):
        _, *rest = _HH.split(value.strip())
        turns = zip(rest[::2], rest[1::2], strict=True)
        messages = tuple({"role": ROLES[name.lower()], "content": words.strip()} for name, words in turns)
        # An HH prompt may end in "Assistant:", which is where the answer begins and no message.
        begun = role == "user" and messages[-1] == {"role": "assistant", "content": ""}
        return messages[:-1] if begun else messages
    return ({"role": role, "content": value},)


def _parsed(value: str) -> Any:
    """Return a list that a file holds as text, in JSON or as Python prints it."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _speaker(message: dict[str, Any]) -> Any:
    return message.get("role") or message.get("from")


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, dict) or not _speaker(message):
        raise UserError(f"{where} is {message!r:.60}; a message has role and content (or from and value).")
    role = ROLES.get(str(_speaker(message)).lower())
    if role is None:
        raise UserError(f"{where} has the role '{_speaker(message)}'; rename it: known are {', '.join(ROLES)}.")
    if message.get("function_call"):
        raise UserError(f"{where} has a function_call; write it as tool_calls.")
    extra = {name: message[name] for name in KEPT if message.get(name)}
    content = message["content"] if "content" in message else message.get("value")
    if "content" not in message and "value" not in message and "tool_calls" not in extra:
        raise UserError(f"{where} has no content; its keys are {', '.join(message)}. Name its text content (or value).")
    return {"role": role, "content": _content(content, where, called="tool_calls" in extra), **extra}


def _content(content: Any, where: str, *, called: bool) -> str:
    """Return the text of a message; parts of text are joined."""
    if isinstance(content, list | tuple) and content:
        for part in content:
            if (
                not isinstance(part, dict)
                or part.get("type", "text") != "text"
                or not isinstance(part.get("text"), str)
            ):
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                raise UserError(f"{where} has a part of type '{kind}'; only text can be trained on. Drop the row.")
        content = "".join(part["text"] for part in content)
    if (content is None or content == []) and not called:
        raise UserError(f"{where} has no content; write its text, or drop the row.")
    return text(content or "" if called else content, where)


def _encodable(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where} holds half of a character ({value[error.start]!a}), which no tokenizer can read; mend its text."
        ) from None
    return value
