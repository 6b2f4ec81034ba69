"""Puts prompts and responses into the words that the policy expects, once, and turns them into tokens, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.judged_response import Messages

PROBE = "una bench probe"
"""A response that no template changes, to see what a template puts around one."""
OTHERWISE = "Give one (problem.chat_template=FILE), or use the words as they are (problem.template=plain)."


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a prompt and a response look to the policy."""

    tokenizer: Any
    chat: bool
    lead: str = ""
    """What the template puts between the generation prompt and the response."""
    end: str = ""
    """What ends a response: one token."""
    start: str = ""
    """What a plain prompt begins with: the tokenizer's own first token, if it puts one."""

    def prompt(self, messages: Messages) -> str:
        """Return the text up to where the policy begins to write."""
        if not self.chat:
            return self.start + "\n".join(content for _, content in messages)
        chat = [{"role": role, "content": content} for role, content in messages]
        text: str = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text

    def completion(self, response: str) -> str:
        """Return the response as the policy should have written it, with its end."""
        return self.lead + response + self.end

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
        return {"chat": self.chat, "lead": self.lead, "end": self.end, "start": self.start}


def make(tokenizer: Any, *, chat: bool, name: str) -> Template:
    """Look at what the tokenizer's template does around a response.

    Where the template ends a turn with another token than the tokenizer's end token, that one becomes the tokenizer's:
    the policy must stop where its turn ends.

    Raises:
        UserError: There is no chat template, or no token that ends a response.
    """
    lead, end = _around_a_response(tokenizer, name) if chat else ("", "")
    if end and end != tokenizer.eos_token:
        tokenizer.eos_token = end
    if tokenizer.eos_token is None:
        raise UserError(
            f"The tokenizer of {name} has no end token, so that no response could end. Give it an eos_token."
        )
    return Template(
        tokenizer=tokenizer, chat=chat, lead=lead, end=tokenizer.eos_token, start="" if chat else _start(tokenizer)
    )


def _around_a_response(tokenizer: Any, name: str) -> tuple[str, str]:
    """Return what the chat template puts before a response, and the special token right after it, if there is one."""
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise UserError(f"{name} has no chat template. {OTHERWISE}")
    asked = [{"role": "user", "content": PROBE}]
    answered = [*asked, {"role": "assistant", "content": PROBE}]
    try:
        before = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(answered, tokenize=False)
    except (TemplateError, ValueError) as error:
        said = str(error).rstrip(".")
        raise UserError(f"The chat template of {name} cannot be used: {said}. {OTHERWISE}") from None
    if not whole.startswith(before) or PROBE not in whole[len(before) :]:
        return "", ""  # the template writes past turns in other words; what it asks for now is what counts
    lead, _, rest = whole[len(before) :].partition(PROBE)
    return lead, _first_special(tokenizer, rest)


def _first_special(tokenizer: Any, text: str) -> str:
    """Return the special token that ``text`` begins with, white space aside."""
    tokens = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    found = [token for token in tokens if token and text.lstrip().startswith(token)]
    return max(found, key=len, default="")


def _start(tokenizer: Any) -> str:
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.bos_token if tokenizer.bos_token and first == [tokenizer.bos_token_id] else ""
