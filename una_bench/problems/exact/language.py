"""The language of the exact problem: 8 prompt letters, 7 response letters, an end mark; every response by number.

A response has at most `MAX_TOKENS` letters. A shorter one carries the end token; one of `MAX_TOKENS` letters is
complete without it. So the text without the end mark names the response, and there are 1 + 7 + 49 + 343 + 2401 = 2801.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

PAD, END = "_", "."
LETTERS, PROMPT_LETTERS = "abcdefg", "ABCDEFGH"
VOCABULARY = PAD + END + LETTERS + PROMPT_LETTERS
PAD_ID, END_ID = 0, 1
RESPONSE_IDS = tuple(range(1, 2 + len(LETTERS)))
"""Tokens that a response may hold: the end token first, then the letters."""
PROMPT_TOKENS, MAX_TOKENS = 2, 4

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@cache
def prompts() -> tuple[str, ...]:
    """All 64 prompts, in the order of every table of this problem."""
    return tuple("".join(pair) for pair in product(PROMPT_LETTERS, repeat=PROMPT_TOKENS))


@cache
def responses() -> tuple[str, ...]:
    """All 2,801 responses without their end mark, shorter ones first."""
    return tuple("".join(word) for length in range(MAX_TOKENS + 1) for word in product(LETTERS, repeat=length))


@cache
def response_numbers() -> dict[str, int]:
    """Text without end mark -> number of the response."""
    return {text: number for number, text in enumerate(responses())}


@cache
def prompt_numbers() -> dict[str, int]:
    """Text -> number of the prompt."""
    return {text: number for number, text in enumerate(prompts())}


def marked(response: str) -> str:
    """Return the text with the end mark, where the response ends before the limit."""
    return response if len(response) == MAX_TOKENS else response + END


def token_ids(text: str) -> list[int]:
    """Tokenize without a tokenizer: one token a character."""
    return [VOCABULARY.index(character) for character in text]


def letter_table() -> NDArray[np.int64]:
    """Letters of each response as numbers 0..6, -1 where it has ended, shape (responses, MAX_TOKENS)."""
    import numpy as np

    table = np.full((len(responses()), MAX_TOKENS), -1, dtype=np.int64)
    for number, text in enumerate(responses()):
        table[number, : len(text)] = [LETTERS.index(letter) for letter in text]
    return table


def response_number(completion: str) -> int:
    """Number of a completion, given with or without what follows its letters (end mark, padding).

    Raises:
        ValueError: What was given is no response of this language.
    """
    text = completion.split(END)[0].rstrip(PAD)
    if text not in response_numbers():
        raise ValueError(f"{completion!r} is no response: at most {MAX_TOKENS} letters of {LETTERS}, then '{END}'.")
    return response_numbers()[text]


def prompt_number(prompt: str) -> int:
    """Number of a prompt.

    Raises:
        ValueError: What was given is no prompt of this language.
    """
    text = prompt.lstrip(PAD)
    if text not in prompt_numbers():
        raise ValueError(f"{prompt!r} is no prompt: {PROMPT_TOKENS} letters of {PROMPT_LETTERS}.")
    return prompt_numbers()[text]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of one token a character; it decodes without spaces and adds nothing."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    # BPE without merges splits into characters, and drops one that it does not know, where WordLevel would fail.
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(VOCABULARY)}, merges=[]))
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in (PAD, END)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=64,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer into a model folder."""
    build_tokenizer().save_pretrained(folder)
