"""Greedy decoding that guesses what comes next from what the text repeats, and checks all guesses in one pass.

A language model reads several tokens in hardly more time than one, because most of a step is reading weights. Each
step therefore feeds, beside the last token, those that followed the same few tokens before (prompt lookup, a case of
speculative decoding, Leviathan et al. 2023, arXiv:2211.17192), and keeps as many as the model itself would have
written. The text is that of plain greedy decoding up to the rounding of sums in another order; an answer that goes
round in circles costs a fraction. What prompts begin with alike is read once, and a text that is over costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from una_bench.models.decoding.growing_cache import growing_cache, read_on

MATCHES = (6, 3)
"""Tokens that must have stood together before for what followed them to be a guess; the longer run is asked first."""
AT_ONCE = 32
"""Tokens of all rows together that one step reads at most."""
LEAST_SHARED = 32
"""Tokens that prompts must begin with alike for that beginning to be read apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """When a text is over."""

    tokens: Collection[int]
    """Tokens that end it; they belong to it."""
    stopped: Callable[[list[int]], bool]
    """Whether the tokens written so far hold something else that ends it."""
    most: int
    """Tokens that may be written."""


@dataclass(slots=True)
class Row:
    """One text and where in it each short run of tokens last stood."""

    text: list[int]
    prompt: int
    """How many of its tokens were given."""
    wished: int = 2
    """Tokens to guess at once: more after guesses that were right."""
    after: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Run of tokens -> where the text went on after it."""
    known: int = 0

    @property
    def written(self) -> list[int]:
        """Tokens that were not given."""
        return self.text[self.prompt :]

    def guess(self, most: int) -> list[int]:
        """Return what followed the last tokens where they stood before: ``most`` tokens at most, often none."""
        for end in range(self.known + 1, len(self.text)):  # the run at the very end has nothing after it yet
            for size in MATCHES:
                self.after[tuple(self.text[max(0, end - size) : end])] = end
        self.known = max(self.known, len(self.text) - 1)
        starts = (self.after.get(tuple(self.text[-size:])) for size in MATCHES if len(self.text) > size)
        start = next((found for found in starts if found is not None), None)
        if start is None:
            return []
        period = len(self.text) - start
        return [self.text[start + i % period] for i in range(min(most, self.wished))]

    def take(self, guess: Sequence[int], best: Sequence[int], ends: Ends) -> tuple[int, bool]:
        """Append the guesses that the model would have written too, and its next token.

        Args:
            guess: What was guessed.
            best: What the model writes after the last token and after each guess.
            ends: When the text is over.

        Returns:
            How many guesses were right, and whether the text is over.
        """
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(guess, best, strict=False)))
        if guess:
            self.wished = min(2 * self.wished, AT_ONCE) if right == len(guess) else max(2, right)
        for token in best[: right + 1]:
            self.text.append(token)
            if token in ends.tokens or len(self.text) - self.prompt >= ends.most or ends.stopped(self.written):
                return right, True
        return right, False


@torch.no_grad()
def decode(model: Any, prompts: Sequence[Sequence[int]], ends: Ends) -> list[list[int]]:
    """Write the most likely token after each prompt, and after that, until the text is over.

    Args:
        model: Causal language model with attention over all tokens, in evaluation mode.
        prompts: Tokens of each prompt, at least one.
        ends: When a text is over.

    Returns:
        Tokens written to each prompt, one that ends it included.
    """
    rows = [Row(list(prompt), len(prompt)) for prompt in prompts]
    going = list(rows)
    cache = growing_cache()
    real_BS = _read(model, [row.text[:-1] for row in rows], cache)
    while going:
        room = AT_ONCE // len(going) - 1
        guesses = [row.guess(min(room, ends.most - len(row.written) - 1)) for row in going]
        best, real_BS = _step(model, going, guesses, (cache, real_BS))
        taken = [row.take(guess, answers, ends) for row, guess, answers in zip(going, guesses, best, strict=True)]
        stay = [i for i, (_, over) in enumerate(taken) if not over]
        if not stay:
            break
        # A wrong guess leaves its slot in the cache, which nothing may see; at the end, the slot goes too.
        first = real_BS.shape[1] - 1 - max(map(len, guesses))
        for i, (right, _) in enumerate(taken):
            real_BS[i, first + 1 + right :] = 0
        last = first + 1 + max(taken[i][0] for i in stay)
        cache.crop(last - real_BS.shape[1])  # negative: how many to take off
        real_BS = real_BS[:, :last]
        if len(stay) < len(going):
            kept = torch.tensor(stay, device=real_BS.device)
            cache.batch_select_indices(kept)
            going, real_BS = [going[i] for i in stay], real_BS[kept]
    return [row.written for row in rows]


def _read(model: Any, prompts: Sequence[list[int]], cache: Any) -> Tensor:
    """Put prompts into the cache, what all begin with alike once; return which slots hold a token of theirs, (B, S)."""
    first, last = min(prompts), max(prompts)
    common = next((i for i, token in enumerate(first) if token != last[i]), len(first))
    common = common if len(prompts) > 1 and common >= LEAST_SHARED else 0
    if common:
        model(input_ids=torch.tensor([first[:common]], device=model.device), past_key_values=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(len(prompts))
    rest = [prompt[common:] for prompt in prompts]
    width = max(map(len, rest))
    ids = [[0] * (width - len(row)) + list(row) for row in rest]
    real = [[1] * common + [0] * (width - len(row)) + [1] * len(row) for row in rest]
    real_BS = torch.tensor(real, device=model.device)
    if width:
        read_on(model, torch.tensor(ids, device=model.device), real_BS, cache, keep=1)
    return real_BS


def _step(
    model: Any, rows: Sequence[Row], guesses: Sequence[Sequence[int]], seen: tuple[Any, Tensor]
) -> tuple[list[list[int]], Tensor]:
    """Read the last token and the guesses of each row; return the best next token after each, and the new slots."""
    width = 1 + max(map(len, guesses))
    cache, real_BS = seen
    ids = [[row.text[-1], *guess, *[0] * (width - 1 - len(guess))] for row, guess in zip(rows, guesses, strict=True)]
    new = [[1] * (1 + len(guess)) + [0] * (width - 1 - len(guess)) for guess in guesses]
    real_BS = torch.cat([real_BS, torch.tensor(new, device=real_BS.device)], dim=1)
    logits_BTV = read_on(model, torch.tensor(ids, device=real_BS.device), real_BS, cache, keep=width)
    best: list[list[int]] = logits_BTV.argmax(-1).tolist()
    return [answers[: 1 + len(guess)] for answers, guess in zip(best, guesses, strict=True)], real_BS
