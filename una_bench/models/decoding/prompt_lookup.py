"""Greedy decoding with prompt lookup: tokens are guessed from repetitions in the text and verified in one pass.

A forward pass on several tokens takes hardly longer than on one, because reading the weights dominates. Each step
therefore also feeds the tokens that followed the same few tokens earlier in the text (a case of speculative decoding,
Leviathan et al. 2023, arXiv:2211.17192), and keeps those that the model predicts too. The text equals that of plain
greedy decoding up to rounding; repetitive answers cost a fraction. A common prefix of the prompts is computed once, and
finished texts leave the batch.
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
"""Lengths of the token runs to look up, in this order."""
AT_ONCE = 32
"""Maximum tokens per step, over all rows."""
LEAST_SHARED = 32
"""Minimum length of a common prefix that is computed separately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Stop conditions of a text."""

    tokens: Collection[int]
    """End tokens; they are part of the text."""
    stopped: Callable[[list[int]], bool]
    """Returns whether the generated tokens contain another stop condition."""
    most: int
    """Maximum tokens to generate."""


@dataclass(slots=True)
class Row:
    """One text, with an index of its short token runs."""

    text: list[int]
    prompt: int
    """Number of prompt tokens."""
    guess_length: int = 2
    """Tokens to guess per step; grows after correct guesses."""
    after: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Token run -> position after its last occurrence."""
    indexed: int = 0

    @property
    def written(self) -> list[int]:
        """Generated tokens."""
        return self.text[self.prompt :]

    def guess(self, most: int) -> list[int]:
        """Return up to ``most`` tokens that followed an earlier occurrence of the last tokens; often none."""
        for end in range(self.indexed + 1, len(self.text)):  # nothing follows the run at the very end yet
            for size in MATCHES:
                self.after[tuple(self.text[max(0, end - size) : end])] = end
        self.indexed = max(self.indexed, len(self.text) - 1)
        starts = (self.after.get(tuple(self.text[-size:])) for size in MATCHES if len(self.text) > size)
        start = next((position for position in starts if position is not None), None)
        if start is None:
            return []
        period = len(self.text) - start
        return [self.text[start + i % period] for i in range(min(most, self.guess_length))]

    def take(self, guess: Sequence[int], best: Sequence[int], ends: Ends) -> tuple[int, bool]:
        """Append the correct guesses and the next token; return the number of correct ones, and whether the text ended.

        ``best`` are the model's predictions after the last token and after each guess.
        """
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(guess, best, strict=False)))
        if guess:
            self.guess_length = min(2 * self.guess_length, AT_ONCE) if right == len(guess) else max(2, right)
        for token in best[: right + 1]:
            self.text.append(token)
            if token in ends.tokens or len(self.text) - self.prompt >= ends.most or ends.stopped(self.written):
                return right, True
        return right, False


@torch.no_grad()
def decode(model: Any, prompts: Sequence[Sequence[int]], ends: Ends) -> list[list[int]]:
    """Decode greedily from each prompt (not empty) with a model that attends to all tokens; return the new tokens."""
    rows = [Row(list(prompt), len(prompt)) for prompt in prompts]
    active = list(rows)
    cache = growing_cache()
    real_BS = _read(model, [row.text[:-1] for row in rows], cache)
    while active:
        room = AT_ONCE // len(active) - 1
        guesses = [row.guess(min(room, ends.most - len(row.written) - 1)) for row in active]
        best, real_BS = _step(model, active, guesses, (cache, real_BS))
        taken = [row.take(guess, answers, ends) for row, guess, answers in zip(active, guesses, best, strict=True)]
        stay = [i for i, (_, finished) in enumerate(taken) if not finished]
        if not stay:
            break
        # Cache slots of wrong guesses are masked; trailing ones are cropped.
        first = real_BS.shape[1] - 1 - max(map(len, guesses))
        for i, (right, _) in enumerate(taken):
            real_BS[i, first + 1 + right :] = 0
        last = first + 1 + max(taken[i][0] for i in stay)
        cache.crop(last - real_BS.shape[1])  # negative: number of tokens to remove
        real_BS = real_BS[:, :last]
        if len(stay) < len(active):
            kept = torch.tensor(stay, device=real_BS.device)
            cache.batch_select_indices(kept)
            active, real_BS = [active[i] for i in stay], real_BS[kept]
    return [row.written for row in rows]


def _read(model: Any, prompts: Sequence[list[int]], cache: Any) -> Tensor:
    """Process prompts into the cache, a common prefix once; return the mask of real tokens, (B, S)."""
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
    """Process the last token and the guesses of each row; return the best token after each, and the new mask."""
    width = 1 + max(map(len, guesses))
    cache, real_BS = seen
    ids = [[row.text[-1], *guess, *[0] * (width - 1 - len(guess))] for row, guess in zip(rows, guesses, strict=True)]
    new = [[1] * (1 + len(guess)) + [0] * (width - 1 - len(guess)) for guess in guesses]
    real_BS = torch.cat([real_BS, torch.tensor(new, device=real_BS.device)], dim=1)
    logits_BTV = read_on(model, torch.tensor(ids, device=real_BS.device), real_BS, cache, keep=width)
    best: list[list[int]] = logits_BTV.argmax(-1).tolist()
    return [answers[: 1 + len(guess)] for answers, guess in zip(best, guesses, strict=True)], real_BS
