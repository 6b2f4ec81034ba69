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
KEPT = ("tool_calls", "tool_call_id", "name")
_HH = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_LIST = re.compile(r"\s*\[\s*\{.*\}\s*\]\s*$", re.S)


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
    return ({"role": role, "content": text(value, f"column {column}")},)


def text(value: Any, where: str) -> str:
    """Return a cell as text: whole numbers are taken as they are written, nothing is empty.

    Raises:
        UserError: It is something else, or cannot be encoded.
    """
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(f"{where} holds {value!r:.60}; text or a list of messages (role, content) is needed.")
    return _encodable(value, where)


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
    if _LIST.match(value):
        listed = _parsed(value)
        if isinstance(listed, list) and all(isinstance(one, dict) and _speaker(one) for one in listed):
            return conversation(listed, column, role)
    _encodable(value, f"column {column}")
    if value.lstrip().startswith("Human:") and "\n\nAssistant:" in value:
        _, *rest = _HH.split(value.strip())
        turns = zip(rest[::2], rest[1::2], strict=True)
        messages = tuple({"role": ROLES[name.lower()], "content": said.strip()} for name, said in turns)
        # An HH prompt may end in "Assistant:", which is where the answer begins and no message.
        return messages[:-1] if messages[-1] == {"role": "assistant", "content": ""} else messages
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
        raise UserError(f"{where} has the role '{_speaker(message)}'; known are {', '.join(ROLES)}.")
    extra = {name: message[name] for name in KEPT if message.get(name)}
    content = message["content"] if "content" in message else message.get("value")
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
                raise UserError(f"{where} has a part of type '{kind}'; only text can be trained on.")
        content = "".join(part["text"] for part in content)
    if content is None and not called:
        raise UserError(f"{where} has no content; write its text, or drop the row.")
    return text(content, where)


def _encodable(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where} holds half of a character ({value[error.start]!a}), which no tokenizer can read; mend its text."
        ) from None
    return value
