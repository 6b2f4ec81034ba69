"""The chat template: prompts and responses in the words that the policy expects, and their tokens, once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from os.path import commonprefix
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.conversations import Message, Messages

PROBE = "una bench probe"
"""A response that no template changes, to see what a template puts around one."""
DATE = datetime(2024, 7, 26)
"""What a template that asks for today's date is told: the same settings must give the same tokens on any day."""
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
OTHERWISE = "Set problem.chat_template=FILE, or problem.template=plain to use texts unchanged."


class RefusedByTemplateError(ValueError):
    """The chat template raises for a conversation, for example for two turns of the same speaker."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """Text of prompts and responses as the policy sees them."""

    tokenizer: Any
    chat: bool
    end: str = ""
    """What ends a response: one token."""
    tail: str = ""
    """What the template writes after a response where it ends it with no token; it is left out."""
    start: str = ""
    """What a plain prompt begins with: the tokenizer's own first token, if it puts one."""

    def write(self, prompt: Messages, answers: Sequence[Messages], tools: Sequence[Any] = ()) -> tuple[str, list[str]]:
        """Return the text of a prompt up to where the policy begins to write, and that of each answer with its end.

        An answer is what the template writes after the prompt in the whole conversation. Where the generation prompt
        is not part of that (a model that thinks first), the prompt ends where both are alike, as
        `trl.data_utils.apply_chat_template` has it.

        Raises:
            UserError: The template leaves something of the conversation out, or writes the prompt in other words when
                an answer follows.
            RefusedByTemplateError: It raises for this conversation.
        """
        if not self.chat:
            text = self.start + "\n".join(message["content"] for message in prompt)
            return text, ["\n".join(message["content"] for message in answer) + self.end for answer in answers]
        asked = self.render(prompt, tools, generate=True)
        wholes = [self.render(prompt + answer, tools) for answer in answers]
        for answer, whole in zip(answers, wholes, strict=True):
            self._require_complete(prompt + answer, whole, tools)
        text = commonprefix([asked, *wholes])  # noqa: RUF071 - characters, not paths
        if text != asked and len(text) < len(self.render(prompt, tools).rstrip()):
            raise UserError(
                f"the chat template writes the prompt in other words when an answer follows (…{asked[-40:]!r} becomes "
                f"…{wholes[0][max(0, len(text) - 20) : len(text) + 20]!r}). {OTHERWISE}"
            )
        return text, [self._ended(whole[len(text) :]) for whole in wholes]

    def render(self, messages: Messages, tools: Sequence[Any] = (), *, generate: bool = False) -> str:
        """Return a conversation as the chat template writes it, with the prompt to answer where asked."""
        from jinja2 import TemplateError

        try:
            text: str = self.tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=generate,
            )
        except TemplateError as error:
            raise RefusedByTemplateError(str(error)) from None
        return text

    def _require_complete(self, messages: Messages, text: str, tools: Sequence[Any]) -> None:
        """Refuse a template that leaves out words, calls or tools."""
        at = 0
        for place, message in enumerate(messages, start=1):
            words = message["content"].strip()
            at = text.find(words, at)
            if at < 0:
                raise UserError(
                    f"the chat template leaves out words of message {place} ({message['role']}: {words!r:.40}). "
                    f"{OTHERWISE}"
                )
            at += len(words)
        calls = [m for m in messages if m.get("tool_calls")]
        without: list[tuple[str, Messages, Sequence[Any]]] = [("tools", messages, ())] if tools else []
        if calls:
            bare: Messages = tuple({**m, "tool_calls": None} for m in messages)
            without.append(("tool calls", bare, tools))
        for what, fewer, offered in without:
            if self.render(fewer, offered) == text:
                raise UserError(f"the chat template leaves out the {what}. {OTHERWISE}")

    def _ended(self, text: str) -> str:
        """Return a response up to and with its end token; what the template writes after that is not part of it."""
        if text.rstrip().endswith(self.end):
            return text.rstrip()
        before, end, _ = text.rpartition(self.end)
        return before + end if end else text.removesuffix(self.tail) + self.end

    def ids(self, text: str) -> list[int]:
        """Tokenize text that has its special tokens in it already."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def completion_ids(self, prompt: str, prompt_ids: list[int], completion: str) -> list[int]:
        """Tokenize a response as it follows its prompt.

        Where prompt and response share a token in the whole text, the response is tokenized alone: the policy answers
        after the prompt's tokens, which must stay as they are.
        """
        whole = self.ids(prompt + completion)
        after = len(prompt_ids)
        return whole[after:] if whole[:after] == prompt_ids else self.ids(completion)

    def describe(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"chat": self.chat, "end": self.end, "start": self.start, "date": DATE.date().isoformat()}


def make(tokenizer: Any, *, chat: bool, name: str) -> Template:
    """Look at what the tokenizer's template does around a response.

    Where the template ends a turn with another token than the tokenizer's end token, that one becomes the tokenizer's:
    the policy must stop where its turn ends.

    Raises:
        UserError: There is no chat template, it writes something else each time, or no token ends a response.
    """
    end, tail = _after_a_response(tokenizer, name) if chat else ("", "")
    if end and end != tokenizer.eos_token:
        tokenizer.eos_token = end
    if tokenizer.eos_token is None:
        raise UserError(
            f"The tokenizer of {name} has no end token, so that no response could end. Give it an eos_token."
        )
    return Template(
        tokenizer=tokenizer, chat=chat, end=tokenizer.eos_token, tail=tail, start="" if chat else _start(tokenizer)
    )


def _after_a_response(tokenizer: Any, name: str) -> tuple[str, str]:
    """Return the special token that a chat template writes right after a response, if any, and all that it writes."""
    if not tokenizer.chat_template:
        raise UserError(f"{name} has no chat template. {OTHERWISE}")
    tokenizer.chat_template = _TODAY.sub(lambda m: repr(DATE.strftime(m[2])), tokenizer.chat_template)
    messages: tuple[Message, ...] = tuple({"role": role, "content": PROBE} for role in ("user", "assistant"))
    template = Template(tokenizer=tokenizer, chat=True)
    try:
        whole = template.render(messages)
        again = template.render(messages)
    except (RefusedByTemplateError, ValueError) as error:
        raise UserError(f"The chat template of {name} cannot be used: {str(error).rstrip('.')}. {OTHERWISE}") from None
    if whole != again:
        raise UserError(
            f"The chat template of {name} writes the same conversation in other words each time. {OTHERWISE}"
        )
    _, _, rest = whole.rpartition(PROBE)
    return _first_special(tokenizer, rest), rest


def _first_special(tokenizer: Any, text: str) -> str:
    """Return the special token that ``text`` begins with, white space aside."""
    tokens = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    candidates = [token for token in tokens if token and text.lstrip().startswith(token)]
    return max(candidates, key=len, default="")


def _start(tokenizer: Any) -> str:
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.bos_token if tokenizer.bos_token and first == [tokenizer.bos_token_id] else ""
