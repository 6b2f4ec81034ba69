"""The reference policy: a frozen copy, the policy without its adapters, or precomputed log-probabilities."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from una_bench.instruments.fairness_facts import weights_sha256
from una_bench.record.hashes import content_hash
from una_bench.una.examples import Examples
from una_bench.una.prompt_sharing import LEAST_TOKENS

DIGEST_BYTES = hashlib.sha256().digest_size
logger = logging.getLogger(__name__)
Score = Callable[[Mapping[str, Any]], torch.Tensor]
"""Batch of sequences -> log pi_ref of each, nats, on any device."""


def frozen_copy(model: Any) -> Any:
    """Return a frozen copy of the policy."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def model_key(model: Any, precision: str) -> str:
    """Return a content key of a reference model (weights, configuration, precision), 16 hex digits."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    return content_hash([weights_sha256(model), config, precision])


def precompute(examples: Examples, *, key: str, folder: Path, score: Score, accelerator: Any, batch: int) -> None:
    """Fill ``examples.reference``, (S,), from disk, or compute each distinct sequence once and store it.

    The file is named after the model and the set of sequences, so pairs and single responses of the same data share it.
    ``key`` is the reference policy's `model_key`. The accelerator's processes share the work, ``batch`` sequences per
    call of ``score`` (under no_grad), and the main one writes.
    """
    sizes = zip(examples.starts, examples.lengths, examples.prompt_lengths, strict=True)
    bodies = (int(p).to_bytes(4, "little") + examples.tokens[start : start + n].tobytes() for start, n, p in sizes)
    keys = np.asarray([hashlib.blake2b(body, digest_size=16).hexdigest() for body in bodies], dtype=np.bytes_)
    distinct, where, inverse = np.unique(keys, return_index=True, return_inverse=True)
    file = folder / f"{key}-{hashlib.sha256(distinct.tobytes()).hexdigest()[:16]}.f32"
    kept = _read(file, len(distinct))
    accelerator.wait_for_everyone()  # all processes read before one writes
    values = _compute(examples, where, score, accelerator, batch) if kept is None else kept
    if kept is None and accelerator.is_main_process:
        _write(file, values)
    examples.reference = values[inverse]
    logger.info("Reference log-probabilities of %d sequences %s.", len(values), "computed" if kept is None else "read")


def _read(file: Path, count: int) -> NDArray[np.float32] | None:
    """Return the ``count`` values in ``file``, or None if it is missing, truncated or corrupt."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest or len(body) != count * np.dtype(np.float32).itemsize:
        return None
    return np.frombuffer(body, dtype=np.float32)


def _write(file: Path, values: NDArray[np.float32]) -> None:
    """Write values with their checksum, atomically: several processes may write the same file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    body = values.astype(np.float32).tobytes()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_bytes(body + hashlib.sha256(body).digest())
    partial.replace(file)


@torch.no_grad()
def _compute(
    examples: Examples, sequences: NDArray[np.int64], score: Score, accelerator: Any, batch: int
) -> NDArray[np.float32]:
    """Score ``sequences`` across processes, longest first: little padding, and running out of memory shows at once.

    Where batches are packed, the responses of a prompt stay together, at the place of the longest.
    """
    lengths = examples.lengths[sequences]
    order = np.argsort(-lengths, kind="stable")
    if examples.longest_packed and batch * lengths.mean() >= LEAST_TOKENS:
        prompts = examples.prompt_numbers(sequences)
        longest = np.zeros(len(sequences), dtype=np.int64)
        np.maximum.at(longest, prompts, lengths)
        order = np.lexsort((-lengths, prompts, -longest[prompts]))
    processes, process = accelerator.num_processes, accelerator.process_index
    mine = order[process::processes]
    values = torch.zeros(len(sequences), dtype=torch.float64, device=accelerator.device)
    for start in range(0, len(mine), batch):
        part = mine[start : start + batch]
        values[torch.from_numpy(part).to(values.device)] = score(examples.sequences(sequences[part])).double()
    total: torch.Tensor = accelerator.reduce(values, reduction="sum")
    return total.float().cpu().numpy()
