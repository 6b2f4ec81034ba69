"""Chat template and tokenization of prompts and responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError
from una_bench.problems.preference.judged_response import Messages

PROBE = "una bench probe"
"""A response that no template changes, to find what a template adds around responses."""
OTHERWISE = "Set problem.chat_template=FILE, or problem.template=plain to use texts unchanged."


@dataclass(frozen=True, kw_only=True)
class Template:
    """Format of prompts and responses for the policy."""

    tokenizer: Any
    chat: bool
    lead: str = ""
    """Text of the template between the generation prompt and the response."""
    end: str = ""
    """End token of a response."""
    start: str = ""
    """Start token of a plain prompt, if the tokenizer adds one."""

    def prompt(self, messages: Messages) -> str:
        """Return the text up to the response."""
        if not self.chat:
            return self.start + "\n".join(content for _, content in messages)
        chat = [{"role": role, "content": content} for role, content in messages]
        text: str = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text

    def completion(self, response: str) -> str:
        """Return the response with lead and end token."""
        return self.lead + response + self.end

    def ids(self, text: str) -> list[int]:
        """Tokenize text that already contains its special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def completion_ids(self, prompt: str, prompt_ids: list[int], completion: str) -> list[int]:
        """Tokenize a response after its prompt.

        If a token spans prompt and response in the whole text, the response is tokenized alone, so that the prompt's
        tokens stay unchanged.
        """
        whole = self.ids(prompt + completion)
        after = len(prompt_ids)
        return whole[after:] if whole[:after] == prompt_ids else self.ids(completion)

    def describe(self) -> dict[str, Any]:
        """Return the facts for the manifest."""
        return {"chat": self.chat, "lead": self.lead, "end": self.end, "start": self.start}


def make(tokenizer: Any, *, chat: bool, name: str) -> Template:
    """Return the template of a tokenizer.

    If the chat template ends a turn with another token than the tokenizer's end token, that becomes the end token, so
    that the policy stops at the end of its turn.

    Raises:
        UserError: There is no chat template, or no end token.
    """
    lead, end = _around_a_response(tokenizer, name) if chat else ("", "")
    if end and end != tokenizer.eos_token:
        tokenizer.eos_token = end
    if tokenizer.eos_token is None:
        raise UserError(f"The tokenizer of {name} has no end token, so responses could not end. Set its eos_token.")
    return Template(
        tokenizer=tokenizer, chat=chat, lead=lead, end=tokenizer.eos_token, start="" if chat else _start(tokenizer)
    )


def _around_a_response(tokenizer: Any, name: str) -> tuple[str, str]:
    """Return the text of the chat template before a response, and the special token after it, if there is one."""
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise UserError(f"{name} has no chat template. {OTHERWISE}")
    prompt = [{"role": "user", "content": PROBE}]
    chat = [*prompt, {"role": "assistant", "content": PROBE}]
    try:
        before = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(chat, tokenize=False)
    except (TemplateError, ValueError) as error:
        raise UserError(f"The chat template of {name} cannot be used: {str(error).rstrip('.')}. {OTHERWISE}") from None
    if not whole.startswith(before) or PROBE not in whole[len(before) :]:
        return "", ""  # the template formats past turns differently; the generation prompt counts
    lead, _, rest = whole[len(before) :].partition(PROBE)
    return lead, _first_special(tokenizer, rest)


def _first_special(tokenizer: Any, text: str) -> str:
    """Return the longest special token at the start of ``text``, ignoring white space."""
    tokens = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return max((token for token in tokens if token and text.lstrip().startswith(token)), key=len, default="")


def _start(tokenizer: Any) -> str:
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.bos_token if tokenizer.bos_token and first == [tokenizer.bos_token_id] else ""
