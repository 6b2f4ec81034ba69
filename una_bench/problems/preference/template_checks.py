"""Checks of a tokenizer and its chat template: end and first token, date and chance, system messages, white space."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from una_bench.errors import UserError
from una_bench.problems.preference.conversations import Message, Messages
from una_bench.problems.preference.template import DATE, OTHERWISE, PROBE, RefusedByTemplateError, Template

if TYPE_CHECKING:
    from una_bench.models.model import Model

ATTEMPTS = 20
"""Times that a template is tried for chance: one of two words each time shows with all but one in a million."""
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
SYSTEM = "una bench system"
"""A system message that no template has of its own."""
SPACED = " \n una  bench\n\n\t probe"
"""A response that is known by its white space."""
ASK: Messages = ({"role": "user", "content": PROBE},)


def make(tokenizer: Any, *, chat: bool, name: str) -> Template:
    """Look at what the tokenizer's template does around a response.

    Where the template ends a turn with another token than the tokenizer's end token, that one becomes the tokenizer's:
    the policy must stop where its turn ends. Prompts get the first token that the tokenizer puts before text, once.

    Raises:
        UserError: There is no chat template, it writes something else each time or its first token twice, or no one
            token ends a response.
    """
    notes: list[str] = []
    end, tail = _after_a_response(tokenizer, name, notes) if chat else ("", "")
    if end and end != tokenizer.eos_token:
        notes.append(f"{name}: responses end with {end}, as in the chat template, not with {tokenizer.eos_token}.")
        tokenizer.eos_token = end
    if tokenizer.eos_token is None:
        raise UserError(
            f"The tokenizer of {name} has no end token, so that no response could end. Give it an eos_token."
        )
    if chat and not end:
        instead = f"it is left out, and responses end with {tokenizer.eos_token}"
        notes.append(f"{name}: the chat template ends a response with {tail!r}, which is no token; {instead}.")
    template = Template(tokenizer=tokenizer, chat=chat, end=tokenizer.eos_token, tail=tail)
    pieces = len(template.ids(template.end))
    if pieces != 1:
        raise UserError(
            f"The tokenizer of {name} writes its end token {template.end} as {pieces} tokens, so that generation could "
            "not stop at it. Give it an eos_token that is one token."
        )
    start = _start(template, name)
    if chat and start:
        notes.append(f"{name}: the chat template does not write the tokenizer's first token {start}; prompts get it.")
    return replace(template, start=start, notes=tuple(notes))


def _after_a_response(tokenizer: Any, name: str, notes: list[str]) -> tuple[str, str]:
    """Return the special token that a chat template writes right after a response, if any, and all that it writes."""
    if not tokenizer.chat_template:
        raise UserError(f"{name} has no chat template. {OTHERWISE}")
    given = tokenizer.chat_template
    tokenizer.chat_template = _TODAY.sub(lambda m: repr(DATE.strftime(m[2])), given)
    if tokenizer.chat_template != given:
        notes.append(f"{name}: the chat template writes today's date; it is told {DATE.date()} on any day.")
    if "strftime_now(" in tokenizer.chat_template:
        raise UserError(f"The chat template of {name} writes today's date in a form that is not fixed. {OTHERWISE}")
    messages: tuple[Message, ...] = tuple({"role": role, "content": PROBE} for role in ("user", "assistant"))
    template = Template(tokenizer=tokenizer, chat=True)
    try:
        whole = template.render(messages)
        others = {template.render(messages) for _ in range(ATTEMPTS)}
    except (RefusedByTemplateError, ValueError) as error:
        raise UserError(f"The chat template of {name} cannot be used: {str(error).rstrip('.')}. {OTHERWISE}") from None
    if others != {whole}:
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


def _start(template: Template, name: str) -> str:
    """Return the first token that prompts lack: a model whose tokenizer puts one before text gets exactly one."""
    token, first = template.tokenizer.bos_token, template.tokenizer.bos_token_id
    if first is None:
        return ""
    asked = template.render(ASK, generate=True) if template.chat else ""
    written = template.ids(asked)[:2]
    if written == [first, first]:
        raise UserError(f"The chat template of {name} writes its first token {token} twice. {OTHERWISE}")
    wanted = template.tokenizer("a")["input_ids"][:1] == [first]
    return str(token) if wanted and written[:1] != [first] else ""


def notes(model: Model, template: Template) -> list[str]:
    """Return what a user has to know of template and tokenizer, a line each."""
    lines = [*template.notes, _stops_elsewhere(model, template), _white_space(model, template)]
    if template.chat:
        lines.append(_system(model, template))
    return [line for line in lines if line]


def _stops_elsewhere(model: Model, template: Template) -> str:
    """Compare the end tokens of the model's generation settings with that of responses."""
    try:
        settings = json.loads((model.folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    ends = settings.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    if ends == [None] or template.tokenizer.eos_token_id in ends:
        return ""
    names = ", ".join(str(template.tokenizer.convert_ids_to_tokens(end)) for end in ends)
    return f"{model.name}: its generation settings stop at {names}; here generation stops at {template.end}."


def _white_space(model: Model, template: Template) -> str:
    """Write and read again a response that is full of white space."""
    try:
        prompt, (response,) = template.write(ASK, [({"role": "assistant", "content": SPACED},)])
    except (UserError, RefusedByTemplateError):  # each row then says so
        return ""
    before = template.ids(prompt)
    ids = [*before, *template.completion_ids(prompt, before, response)]
    text = template.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    words = response.removesuffix(template.end)
    if words not in text and words.split() == text.removesuffix(template.end).split()[-len(words.split()) :]:
        return f"Warning: {model.name}: the tokenizer changes white space in texts ({words!r} is not kept)."
    if words != SPACED and words.strip() == SPACED.strip():
        return f"{model.name}: the chat template removes white space around a response."
    return ""


def _system(model: Model, template: Template) -> str:
    """Tell a template that leaves out system messages, or begins with one of its own."""
    try:
        alone = template.render(ASK)
        given = template.render(({"role": "system", "content": SYSTEM}, *ASK))
    except RefusedByTemplateError:
        return f"{model.name}: the chat template refuses system messages; rows that have one are left out."
    before, system, after = given.partition(SYSTEM)
    if not system:
        return f"{model.name}: the chat template leaves out system messages; data that has one is refused."
    between, start = after.partition(PROBE)[0], alone.partition(PROBE)[0]
    rest = start.removeprefix(before)
    default = rest.removesuffix(between).strip()
    if start.startswith(before) and rest.endswith(between) and default:
        return f"{model.name}: without a system message the chat template writes its own: {default!r}."
    return ""
