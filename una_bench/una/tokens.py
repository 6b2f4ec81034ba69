"""Tokenization of text, messages or token ids, as in TRL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from una_bench.errors import UserError
from una_bench.una.rows import Row


def pad_token(tokenizer: Any) -> int:
    """Return the id of the padding token; a UserError if there is none."""
    if tokenizer is None:
        raise UserError(
            "processing_class is missing and the model has no name to load a tokenizer by. Pass a tokenizer."
        )
    if tokenizer.pad_token_id is None:
        raise UserError(
            "The tokenizer has no padding token. Set one, for example tokenizer.pad_token = tokenizer.eos_token."
        )
    return int(tokenizer.pad_token_id)


def is_messages(value: Any) -> bool:
    """Return whether ``value`` is a conversation: a list of messages with role and content."""
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], dict) and "role" in value[0]


def _template(tokenizer: Any, messages: Sequence[Any], *, prompt: bool) -> list[int]:
    """Apply the chat template; a prompt gets a generation prompt, unless its last message is the assistant's."""
    continues = prompt and messages[-1]["role"] == "assistant"
    out = tokenizer.apply_chat_template(
        list(messages),
        tokenize=True,
        add_generation_prompt=prompt and not continues,
        continue_final_message=continues,
        return_dict=True,
    )
    return list(out["input_ids"])


def prompt_tokens(prompt: Any, tokenizer: Any) -> list[int]:
    """Tokenize a prompt: text, messages (template with generation prompt) or token ids."""
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    return _template(tokenizer, prompt, prompt=True) if is_messages(prompt) else np.asarray(prompt).tolist()


def tokenize(row: Row, tokenizer: Any, args: Any) -> tuple[list[int], list[list[int]]]:
    """Tokenize prompt and completions of a row, within ``max_prompt_length`` and ``max_length``.

    Text is tokenized together with its prompt; the tokens after the prompt's are the completion. Plain text ends with
    EOS (``add_eos``); token ids are used unchanged. A prompt that is too long and an empty completion are a UserError.
    """
    prompt = prompt_tokens(row.prompt, tokenizer)
    limit = args.max_prompt_length or (args.max_length - 1 if args.max_length else None)
    if limit is not None and len(prompt) > limit:
        raise UserError(
            f"Row {row.number}, column 'prompt': {len(prompt)} tokens are more than the {limit} that max_prompt_length"
            " or max_length leaves. Drop the row or raise the limit."
        )
    if not prompt:
        raise UserError(f"Row {row.number}, column 'prompt' has no tokens.")
    completions = []
    for name, value in zip(row.names, row.completions, strict=True):
        ids = _completion(row, name, value, prompt, tokenizer, args)
        ids = ids if args.max_length is None else ids[: args.max_length - len(prompt)]
        if not ids:
            raise UserError(f"Row {row.number}, column '{name}' has no tokens.")
        completions.append(ids)
    return prompt, completions


def _completion(row: Row, name: str, value: Any, prompt: list[int], tokenizer: Any, args: Any) -> list[int]:
    if isinstance(value, str):
        if not isinstance(row.prompt, str):
            raise UserError(f"Row {row.number}, column '{name}' is text, but its prompt is not. Use one format.")
        end = tokenizer.eos_token if args.add_eos else None
        text = value + end if end and not value.endswith(end) else value
        return list(tokenizer(row.prompt + text)["input_ids"])[len(prompt) :]
    if is_messages(value):
        if not is_messages(row.prompt):
            raise UserError(f"Row {row.number}, column '{name}' has messages, but its prompt does not. Use one format.")
        return _template(tokenizer, [*row.prompt, *value], prompt=False)[len(prompt) :]
    if isinstance(row.prompt, str) or is_messages(row.prompt):
        raise UserError(f"Row {row.number}, column '{name}' has token ids, but its prompt does not. Add 'prompt_ids'.")
    return [int(token) for token in value]
