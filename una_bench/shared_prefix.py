"""lm-eval's Hugging Face model, computing what several requests begin with only once.

Few-shot tasks repeat themselves: the choices of a question share all but a few tokens, and questions of one subject
share their examples. `SharedPrefixLM` sorts requests into a tree of common beginnings, keeps the attention cache of
each while its branches are computed, and asks the output layer only for the tokens that are scored. Log-likelihoods
agree with lm-eval's own up to the rounding of sums in another order.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import DynamicCache

from una_bench import greedy
from una_bench.grouped_attention import grouped
from una_bench.growing_cache import attends_to_all, growing_cache

LEAST_SHARED = 32
"""Tokens that a beginning must have, beyond the one above it, to be computed apart."""
TOKENS_AT_ONCE = 4096
"""Tokens, those of the shared beginning counted for each row, in one batch of branches."""


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What the model reads for one or several requests, and from where on its predictions count."""

    ids: tuple[int, ...]
    scored: int
    """First position whose prediction is needed; a shared beginning ends there at the latest."""


class SharedPrefixLM(HFLM):
    """HFLM that shares beginnings and remembers tokenised requests."""

    def __init__(self, *args: Any, encoded: dict[tuple[str, str], Any] | None = None, **kwargs: Any) -> None:
        """Take HFLM's arguments; ``encoded`` keeps tokenised requests for the next model with the same tokenizer."""
        super().__init__(*args, **kwargs)
        self._encoded = {} if encoded is None else encoded
        self.forward_tokens = 0
        """Tokens that went through the model for log-likelihoods."""

    def _encode_pair(self, context: str, continuation: str) -> Any:
        key = (context, continuation)
        if key not in self._encoded:
            self._encoded[key] = super()._encode_pair(context, continuation)
        return self._encoded[key]

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        if not can_share(self.model):
            return super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm, override_bs=override_bs)
        wanted: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for place, (_, context, continuation) in enumerate(requests):
            whole = (list(context) + list(continuation))[-(self.max_length + 1) :]
            wanted.setdefault(tuple(whole[:-1]), []).append((place, list(continuation)))
        sequences = [_Sequence(ids, min(len(ids) - len(c) for _, c in asked)) for ids, asked in sorted(wanted.items())]
        answers: list[Any] = [None] * len(requests)
        with torch.no_grad(), grouped(self.model):
            for sequence, logp_TV in self._predictions(sequences):
                for place, continuation in wanted[sequence.ids]:
                    answers[place] = _answer(logp_TV[-len(continuation) :], continuation)
        for (text, _, _), answer in zip(requests, answers, strict=True):
            if text is not None:
                self.cache_hook.add_partial("loglikelihood", text, answer)
        return answers

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
        if not can_share(self.model):
            return super()._model_generate(context, max_length, stop, **settings)
        if not plainly_greedy(self.model, settings):
            return super()._model_generate(context, max_length, stop, past_key_values=growing_cache(), **settings)
        most = max_length - context.shape[1]
        mask = settings["attention_mask"]
        prompts = [row[real].tolist() for row, real in zip(context, mask.bool(), strict=True)]
        with grouped(self.model):
            written = greedy.decode(self.model, prompts, self._ends(stop, most))
        pad = self.tokenizer.pad_token_id
        padded = [row + [pad] * (most - len(row)) for row in written]
        return torch.cat([context, torch.tensor(padded, dtype=context.dtype, device=context.device)], dim=1)

    def _ends(self, stop: list[str], most: int) -> greedy.Ends:
        """Where lm-eval cuts an answer: what comes after is not needed."""
        ends = self.model.generation_config.eos_token_id
        tokens = ends if isinstance(ends, list) else [] if ends is None else [ends]

        def stopped(written: list[int]) -> bool:
            text = self.tok_decode(written, skip_special_tokens=False)
            return any(word in text for word in stop if word)

        return greedy.Ends(tokens=frozenset(tokens), stopped=stopped, most=most)

    def _predictions(self, sequences: Sequence[_Sequence]) -> Iterator[tuple[_Sequence, torch.Tensor]]:
        """Yield log-probabilities from the first scored position of each sequence on, (T, V)."""
        alone, branches = _split(sequences, 0)
        yield from self._leaves(alone, DynamicCache(), 0)
        for branch in branches:
            yield from self._branch(branch, DynamicCache(), 0)

    def _branch(self, group: list[_Sequence], cache: Any, depth: int) -> Iterator[tuple[_Sequence, torch.Tensor]]:
        """Compute sequences that begin alike, after the ``depth`` tokens of that beginning that ``cache`` holds."""
        common = _common(group)
        self._forward([group[0].ids[depth:common]], cache, keep=1)
        alone, branches = _parts(group, common, common)
        yield from self._leaves(alone, cache, common)
        for branch in branches:
            yield from self._branch(branch, cache, common)
            cache.crop(common - cache.get_seq_length())  # negative: how many tokens to take off

    def _leaves(self, group: list[_Sequence], cache: Any, depth: int) -> Iterator[tuple[_Sequence, torch.Tensor]]:
        """Compute the rest of each sequence, several at a time."""
        for batch in _batches(sorted(group, key=lambda s: -len(s.ids)), depth):
            rows = [s.ids[depth:] for s in batch]
            width = len(rows[0])
            keep = max(width - (s.scored - depth) for s in batch)
            own = _repeated(cache, len(rows)) if depth else DynamicCache()
            logits_BTV = self._forward([row + (0,) * (width - len(row)) for row in rows], own, keep=keep)
            for sequence, row, logits_TV in zip(batch, rows, logits_BTV, strict=True):
                first = sequence.scored - depth - (width - keep)
                last = len(row) - (width - keep)
                yield sequence, logits_TV[first:last].log_softmax(-1, dtype=self.softmax_dtype)

    def _forward(self, rows: list[tuple[int, ...]], cache: Any, *, keep: int) -> torch.Tensor:
        """Run the model on (B, T) tokens after those in ``cache``; logits of the last positions, (B, keep, V)."""
        ids_BT = torch.tensor(rows, device=self.device)
        self.forward_tokens += ids_BT.numel()
        logits_BTV: torch.Tensor = self.model(
            input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=keep
        ).logits
        return logits_BTV


def can_share(model: Any) -> bool:
    """Whether the attention cache of this model can be cut and repeated: plain attention over all tokens."""
    from inspect import signature

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return attends_to_all(model) and "logits_to_keep" in signature(inner.forward).parameters


def plainly_greedy(model: Any, settings: Mapping[str, Any]) -> bool:
    """Whether ``generate`` with these settings would write the most likely token each time, and nothing else counts."""
    from transformers import GenerationConfig

    drawn = settings.get("do_sample") or settings.get("temperature")
    known = {"attention_mask", "do_sample", "temperature"}
    indifferent = {"temperature", "top_k", "top_p", "do_sample", "max_length", "max_new_tokens", "use_cache"}
    plain = GenerationConfig()
    own = {name for name, value in model.generation_config.to_dict().items() if value != getattr(plain, name, None)}
    own -= {name for name in own if name.endswith("_token_id") or name.startswith("_")}
    return not drawn and settings.keys() <= known and own <= indifferent | {"transformers_version"}


def _common(group: Sequence[_Sequence]) -> int:
    """Tokens that sorted sequences begin with alike, no further than to the first position scored in any of them."""
    most = min(s.scored for s in group)
    first, last = group[0].ids, group[-1].ids
    return next((i for i in range(most) if first[i] != last[i]), most)


def _split(group: Sequence[_Sequence], depth: int) -> tuple[list[_Sequence], list[list[_Sequence]]]:
    """Sort sequences into those computed one by one and those whose beginning, beyond ``depth``, is worth sharing."""
    common = _common(group) if group else 0
    if len(group) > 1 and common - depth >= LEAST_SHARED:
        return [], [list(group)]
    return _parts(group, common, depth) if len(group) > 1 else (list(group), [])


def _parts(group: Sequence[_Sequence], common: int, depth: int) -> tuple[list[_Sequence], list[list[_Sequence]]]:
    """Part sequences by the token after the ``common`` ones; ``depth`` tokens are computed already."""
    alone = [s for s in group if s.scored == common]
    branches = []
    for _, part in groupby((s for s in group if s.scored > common), key=lambda s: s.ids[common]):
        single, shared = _split(list(part), depth)
        alone += single
        branches += shared
    return alone, branches


def _batches(group: Sequence[_Sequence], depth: int) -> Iterator[list[_Sequence]]:
    """Cut into batches, the longest sequences first."""
    rest = list(group)
    while rest:
        count = max(1, TOKENS_AT_ONCE // len(rest[0].ids))
        yield rest[:count]
        rest = rest[count:]


def _repeated(cache: Any, rows: int) -> Any:
    """Copy the cache of one row for several."""
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(rows)
    return own


def _answer(logp_TV: torch.Tensor, continuation: Sequence[int]) -> tuple[float, bool]:
    """Log-likelihood of the continuation, and whether greedy decoding would write it."""
    tokens_T = torch.tensor(continuation, device=logp_TV.device)
    total = float(logp_TV.gather(-1, tokens_T[:, None]).sum())
    return total, bool((logp_TV.argmax(-1) == tokens_T).all())
