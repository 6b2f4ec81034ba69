"""Prompts of an online run, the training order of responses, and generated responses as `Examples`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from una_bench.errors import UserError
from una_bench.una.examples import Examples, Kind, pack
from una_bench.una.rows import chunks
from una_bench.una.samplers import EpochSampler
from una_bench.una.tokens import prompt_tokens

ARRAYS = ("tokens", "starts", "lengths", "prompt_lengths", "targets", "groups", "log_partition", "reference", "anchor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of an online dataset."""

    given: list[Any]
    """As rewards receive them: text or messages."""
    ids: list[list[int]]
    log_partition: NDArray[np.float64]
    """log Z(x), nats, nan where unknown."""


def read_prompts(dataset: Any, tokenizer: Any, args: Any) -> Prompts:
    """Read column ``prompt`` (text or messages), ``prompt_ids`` or both; then the text is only for the rewards."""
    given: list[Any] = []
    ids: list[list[int]] = []
    log_partition: list[float] = []
    for chunk in chunks(dataset):
        for row in chunk:
            number = len(ids)
            tokens, prompt = row.get("prompt_ids"), row.get("prompt")
            if tokens is None and (prompt is None or len(prompt) == 0):
                raise UserError(f"Row {number} has nothing in column 'prompt' (or 'prompt_ids').")
            ids.append(prompt_tokens(prompt if tokens is None else tokens, tokenizer))
            given.append(tokenizer.decode(ids[-1]) if prompt is None else prompt)
            limit = args.max_prompt_length or args.max_length
            if limit is not None and len(ids[-1]) > limit:
                raise UserError(
                    f"Row {number}, column 'prompt': {len(ids[-1])} tokens are more than the {limit} allowed."
                    " Drop the row or raise max_prompt_length."
                )
            log_z = row.get("log_partition")
            if log_z is None and args.offset == "partition":
                raise UserError(f"Row {number}, column 'log_partition': offset='partition' needs it.")
            log_partition.append(np.nan if log_z is None else float(log_z))
    return Prompts(given=given, ids=ids, log_partition=np.asarray(log_partition))


def prompts_of(rollout: int, count: int, prompts: int, seed: int) -> NDArray[np.int64]:
    """Return the ``count`` prompts of a rollout, taken in order from repeated permutations of all prompts."""
    places = np.arange(rollout * count, (rollout + 1) * count)
    rounds, inside = places // prompts, places % prompts
    orders = {int(r): np.random.default_rng([seed, 1, int(r)]).permutation(prompts) for r in np.unique(rounds)}
    return np.asarray([orders[int(r)][i] for r, i in zip(rounds, inside, strict=True)], dtype=np.int64)


class RolloutSampler(EpochSampler):
    """Yields codes ``rollout * R + response``; prompts are shuffled in each pass over a rollout."""

    def __init__(self, *, rollouts: int, args: Any) -> None:
        self.rollouts, self.size, self.each = rollouts, args.responses_per_rollout, args.num_generations
        self.iterations = args.num_iterations
        super().__init__(rollouts * self.size * self.iterations, args.data_seed)

    def __iter__(self) -> Iterator[int]:
        for rollout in range(self.epoch * self.rollouts, (self.epoch + 1) * self.rollouts):
            for iteration in range(self.iterations):
                order = np.random.default_rng([self.seed, 2, rollout, iteration]).permutation(self.size // self.each)
                slots = rollout * self.size + order[:, None] * self.each + np.arange(self.each)
                yield from slots.reshape(-1).tolist()


class Slots(Dataset[dict[str, Any]]):
    """Placeholders of responses that are not generated yet; a batch holds their codes."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitems__(self, codes: Sequence[int]) -> dict[str, Any]:
        """Return a batch of codes."""
        return {"slots": torch.tensor(codes)}


def responses_as_examples(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int) -> Examples:
    """Return generated responses as rows to train on; targets and groups are filled in later."""
    count = len(prompts)
    return Examples(
        **pack(prompts, responses),
        first=np.arange(count),
        kinds=np.full(count, Kind.SCORE, dtype=np.int8),
        targets=np.full(count, np.nan),
        groups=np.arange(count),
        pad=pad,
    )


def to_state(examples: Examples) -> dict[str, torch.Tensor]:
    """Return a rollout as tensors, for a checkpoint."""
    arrays = {name: getattr(examples, name) for name in ARRAYS}
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items() if a is not None}


def from_state(state: dict[str, torch.Tensor], pad: int) -> Examples:
    """Return the rollout of a `to_state`."""
    arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in state.items()}
    count = len(arrays["starts"])
    return Examples(**arrays, first=np.arange(count), kinds=np.full(count, Kind.SCORE, dtype=np.int8), pad=pad)
