"""Language of the exact problem: prompts, responses and their indices.

Prompts are 2 of 8 letters. Responses are up to `MAX_TOKENS` of 7 letters; shorter ones carry the end token. There are
1 + 7 + 49 + 343 + 2401 = 2801, each identified by its text without the end token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
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
"""Tokens of responses: the end token first, then the letters."""
PROMPT_TOKENS, MAX_TOKENS = 2, 4


@cache
def prompts() -> tuple[str, ...]:
    """Return all 64 prompts, in the order of every table of this problem."""
    return tuple("".join(pair) for pair in product(PROMPT_LETTERS, repeat=PROMPT_TOKENS))


@cache
def responses() -> tuple[str, ...]:
    """Return all 2,801 responses without end token, shorter ones first."""
    return tuple("".join(word) for length in range(MAX_TOKENS + 1) for word in product(LETTERS, repeat=length))


def marked(response: str) -> str:
    """Return the text with the end token if the response is shorter than the limit."""
    return response if len(response) == MAX_TOKENS else response + END


def token_ids(text: str) -> list[int]:
    """Tokenize without a tokenizer: one token per character."""
    return [VOCABULARY.index(character) for character in text]


def letter_table() -> NDArray[np.int64]:
    """Return the letters of each response as 0..6, -1 after its end, shape (responses, MAX_TOKENS)."""
    import numpy as np

    table = np.full((len(responses()), MAX_TOKENS), -1, dtype=np.int64)
    for number, text in enumerate(responses()):
        table[number, : len(text)] = [LETTERS.index(letter) for letter in text]
    return table


@cache
def _numbers(texts: Callable[[], tuple[str, ...]]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts())}


def response_number(completion: str) -> int:
    """Return the index of a completion, with or without end token and padding; `ValueError` if it is none."""
    number = _numbers(responses).get(completion.split(END)[0].rstrip(PAD))
    if number is None:
        raise ValueError(f"{completion!r} is no response: at most {MAX_TOKENS} letters of {LETTERS}, then '{END}'.")
    return number


def prompt_number(prompt: str) -> int:
    """Return the index of a prompt, with or without padding; `ValueError` if it is none."""
    number = _numbers(prompts).get(prompt.lstrip(PAD))
    if number is None:
        raise ValueError(f"{prompt!r} is no prompt: {PROMPT_TOKENS} letters of {PROMPT_LETTERS}.")
    return number


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per character; it decodes without spaces and adds no special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    # BPE without merges splits into characters and drops unknown ones; WordLevel would fail on them.
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
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return tokenizer
