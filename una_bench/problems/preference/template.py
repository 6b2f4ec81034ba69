"""The chat template: prompts and responses in the words that the policy expects, and their tokens, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from os.path import commonprefix
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.conversations import Messages

PROBE = "una bench probe"
"""A response that no template changes, to see what a template puts around one."""
DATE = datetime(2024, 7, 26)
"""What a template that asks for today's date is told: the same settings must give the same tokens on any day."""
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
    """The tokenizer's own first token, where it puts one before text and the chat template, if any, writes none."""
    notes: tuple[str, ...] = ()
    """What a user has to know of it, a line each."""

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
            text = "\n".join(message["content"] for message in prompt)
            # Data that was written in a template may have the first and end token already.
            text = text if text.startswith(self.start) else self.start + text
            bare = ["\n".join(message["content"] for message in answer) for answer in answers]
            return text, [answer if answer.endswith(self.end) else answer + self.end for answer in bare]
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
        return self.start + text, [self._ended(whole[len(text) :]) for whole in wholes]

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
        """Refuse a template that leaves out words, calls, tools or reasoning."""
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
        without: list[tuple[str, Messages, Sequence[Any]]] = [("tools", messages, ())] if tools else []
        for key, what in (("tool_calls", "tool calls"), ("reasoning_content", "reasoning_content")):
            # Templates leave out the reasoning of earlier turns on purpose.
            if any(m.get(key) for m in (messages if key == "tool_calls" else messages[-1:])):
                without.append((what, tuple({**m, key: None} for m in messages), tools))
        for what, fewer, offered in without:
            if self.render(fewer, offered) == text:
                raise UserError(f"the chat template leaves out the {what}. Set problem.chat_template=FILE.")

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
        after the prompt's tokens, which must stay as they are. What stands before the prompt's last special token has
        no part in that, so a long prompt is not tokenized again for each response.
        """
        start = max((prompt.rfind(mark) for mark in self._marks), default=-1)
        near = self.ids(prompt[start:]) if start > 0 else []
        if not near or prompt_ids[-len(near) :] != near:
            start, near = 0, prompt_ids
        whole = self.ids(prompt[start:] + completion)
        return whole[len(near) :] if whole[: len(near)] == near else self.ids(completion)

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        """Special tokens that the template writes between what people say."""
        text = self.render(({"role": "user", "content": PROBE},), generate=True) if self.chat else ""
        return tuple(token for token in self.tokenizer.all_special_tokens if token and token in text)

    def describe(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"chat": self.chat, "end": self.end, "start": self.start, "date": DATE.date().isoformat()}
