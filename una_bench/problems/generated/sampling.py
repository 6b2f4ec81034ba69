"""Samples of a policy in large batches, with their log-ratio and exact per-token KL to a reference, without gradients.

A prompt is read once for all its samples; policy and reference read each sampled token side by side, so that nothing is
computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from una_bench.models.decoding.growing_cache import growing_cache, read_on
from una_bench.models.decoding.shared_prefix import can_share
from una_bench.una import generation
from una_bench.una.generation import DROP_THRESHOLD, Sampling

ROWS_AT_ONCE = 512
"""Samples of a batch: with fewer, a processor core computes fewer tokens a second."""
NUMBERS_AT_ONCE = 2**26
"""Logits of a step, which bound the rows where the vocabulary is large: 256 MiB in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sampled response."""

    prompt: int
    """Index of its prompt."""
    ids: list[int]
    """Tokens, end token included."""
    log_ratio: float = 0.0
    """log π(y|x) − log π_ref(y|x), nats."""
    kl: float = 0.0
    """Sum over its tokens of KL(π(·|x, y<t) ‖ π_ref(·|x, y<t)), nats: its mean over samples is unbiased for KL(π‖π_ref)
    and never negative."""


class _Side:
    """One model with its attention cache, reading the same tokens as the other."""

    def __init__(self, model: Any, ids_UT: Tensor, real_UT: Tensor, row_prompts: Tensor, room: int) -> None:
        self.model, self.cache = model, growing_cache(ids_UT.shape[1] + room)
        logits_UV = read_on(model, ids_UT, real_UT, self.cache, keep=1)[:, -1]
        self.cache.batch_select_indices(row_prompts)
        self.logits_BV = logits_UV[row_prompts]

    def read(self, ids_B1: Tensor, real_BS: Tensor) -> None:
        self.logits_BV = read_on(self.model, ids_B1, real_BS, self.cache, keep=1)[:, -1]

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)


@torch.no_grad()
def draw(
    model: Any,
    requests: Sequence[tuple[Sequence[int], int]],
    sampling: Sampling,
    *,
    seed: tuple[int, int],
    reference: Any = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Drawn]:
    """Sample responses at temperature 1: to each prompt as many as its request says, in the order of the requests.

    The random numbers of a sample depend on ``seed`` and its place alone: other models draw with the same ones.
    ``reference`` is read beside the policy; None: log-ratio and KL are 0.
    """
    prompts = [prompt for prompt, _ in requests]
    rows = np.repeat(np.arange(len(prompts)), [count for _, count in requests])
    numbers_BT = generation.uniform_numbers(len(rows), sampling.max_new_tokens, seed)
    at_once = max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // model.config.get_text_config().vocab_size))
    together = can_share(model) and (reference is None or can_share(reference))
    one_batch = _lockstep if together else _apart
    out: list[Drawn] = []
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        out.extend(one_batch(model, reference, prompts, rows[part], sampling, numbers_BT[part]))
        progress(len(out), len(rows))
    return out


def _apart(
    model: Any,
    reference: Any,
    prompts: Sequence[Sequence[int]],
    rows: Any,
    sampling: Sampling,
    numbers_BT: Tensor,
) -> list[Drawn]:
    """Sample first and score afterwards, for models whose attention cache cannot be shared."""
    from una_bench.problems.preference.policy_scores import divergences, log_probabilities

    texts = [list(map(int, prompts[row])) for row in rows]
    ids = generation.generate(model, texts, sampling, numbers_BT, batch=len(texts))
    if reference is None:
        return [Drawn(prompt=int(row), ids=each) for row, each in zip(rows, ids, strict=True)]
    ours, theirs = (log_probabilities(one, texts, ids) for one in (model, reference))
    kl = divergences(model, reference, texts, ids)
    return [
        Drawn(prompt=int(row), ids=each, log_ratio=a - b, kl=k)
        for row, each, a, b, k in zip(rows, ids, ours, theirs, kl, strict=True)
    ]


def _lockstep(
    model: Any,
    reference: Any,
    prompts: Sequence[Sequence[int]],
    rows: Any,
    sampling: Sampling,
    numbers_BT: Tensor,
) -> list[Drawn]:
    device = next(model.parameters()).device
    unique, row_prompts = np.unique(rows, return_inverse=True)
    texts = [list(map(int, prompts[i])) for i in unique]
    width = max(map(len, texts))
    ids_UT = torch.tensor([[sampling.pad] * (width - len(t)) + t for t in texts], device=device)
    real_UT = torch.tensor([[0] * (width - len(t)) + [1] * len(t) for t in texts], device=device)
    selected, numbers_BT = torch.from_numpy(row_prompts).to(device), numbers_BT.to(device)
    models = [model] if reference is None else [model, reference]
    sides = [_Side(one, ids_UT, real_UT, selected, sampling.max_new_tokens) for one in models]
    real_BS = real_UT[selected]
    written: list[list[int]] = [[] for _ in rows]
    log_ratio_B, kl_B = (torch.zeros(len(rows), dtype=torch.float64, device=device) for _ in range(2))
    active, finished = list(range(len(rows))), set[int]()
    for step in range(sampling.max_new_tokens):
        ids_B1 = generation.drawn(sides[0].logits_BV, numbers_BT[active, step], sampling)
        if reference is not None:
            ratio_B, step_kl_B = _compared(sides[0].logits_BV, sides[1].logits_BV, ids_B1)
            going = torch.tensor([row not in finished for row in active], device=device)
            log_ratio_B[active] += ratio_B * going
            kl_B[active] += step_kl_B * going
        for row, token in zip(active, ids_B1[:, 0].tolist(), strict=True):
            if row not in finished:
                written[row].append(token)
                finished |= {row} if token in sampling.eos else set()
        unfinished = [i for i, row in enumerate(active) if row not in finished]
        if not unfinished or step == sampling.max_new_tokens - 1:
            break
        if len(unfinished) <= DROP_THRESHOLD * len(active):
            kept = torch.tensor(unfinished, device=device)
            for side in sides:
                side.keep(kept)
            active, ids_B1, real_BS = [active[i] for i in unfinished], ids_B1[kept], real_BS[kept]
        real_BS = torch.cat([real_BS, torch.ones_like(ids_B1)], dim=1)
        for side in sides:
            side.read(ids_B1, real_BS)
    return [
        Drawn(prompt=int(row), ids=ids, log_ratio=ratio, kl=kl)
        for row, ids, ratio, kl in zip(rows, written, log_ratio_B.tolist(), kl_B.tolist(), strict=True)
    ]


def _compared(ours_BV: Tensor, theirs_BV: Tensor, ids_B1: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-ratio of the tokens and KL of the distributions, nats, float64, (B,) each."""
    parts = []
    for rows in torch.arange(len(ids_B1), device=ids_B1.device).split(64):  # three copies of all logits would not fit
        ours, theirs = ours_BV[rows].float().log_softmax(-1), theirs_BV[rows].float().log_softmax(-1)
        difference = ours - theirs
        kl = (ours.exp() * difference).sum(-1).double().clamp(min=0.0)
        parts.append((difference.gather(-1, ids_B1[rows])[:, 0].double(), kl))
    return torch.cat([ratio for ratio, _ in parts]), torch.cat([kl for _, kl in parts])


def texts(tokenizer: Any, drawn: Sequence[Drawn]) -> Iterator[str]:
    """Yield what reward functions see of each response, as PPO and UNA-online hand it over: with its end token."""
    for one in drawn:
        yield tokenizer.decode(one.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
