"""KTO with TRL on the prepared responses and their labels, in a precomputed order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from trl.trainer.kto_trainer import KTOTrainer

from una_bench.errors import UserError
from una_bench.training import division
from una_bench.training.common import common_arguments, own_settings
from una_bench.training.trl.offline import AsPrepared, Given, ids, on_file, reference_pass, train_rows
from una_bench.una.samplers import length_grouped

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from numpy.typing import NDArray

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method


MOST_PASSES = 16
"""Reshuffled passes over the data if their number is not known in advance."""


class _KTO(AsPrepared, KTOTrainer):
    """KTOTrainer on responses as prepared, in the precomputed order."""

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any) -> Dataset:
        """Run the reference once per response of the data, not at every visit of the training."""
        _, first, visits = np.unique(dataset["row"], return_index=True, return_inverse=True)
        visited = np.argsort(first)  # in training order, in which rows of similar length may share a batch
        with reference_pass(self, self.probe), on_file(dataset.select(first[visited])) as ordered:
            once = super()._precompute_ref_logps(ordered, *args)
        return once.select(np.argsort(visited)[visits])


def train_kto(method: Method, job: Job, probe: Probe) -> Path:
    """Train with TRL's KTOTrainer on the prepared responses and their labels."""
    from trl import KTOConfig

    if job.batch_responses < 2:
        raise UserError("KTO compares responses within a batch: batch_responses must be at least 2.")
    arguments = KTOConfig(
        **common_arguments(method, job)
        | {"train_sampling_strategy": "sequential"},  # rows are already shuffled and paired
        per_device_train_batch_size=division.share(job.batch_responses),
        max_length=None,
        **{name: value for name, value in own_settings(method).items() if name != "balance_labels"},
    )
    once, grouped = arguments.precompute_ref_log_probs, method.group_by_length

    def rows(table: pd.DataFrame) -> Dataset:
        if method.settings()["balance_labels"]:
            weights = balanced(table)
            arguments.desirable_weight, arguments.undesirable_weight = weights
            probe.facts["feedback"] |= dict(zip(("desirable_weight", "undesirable_weight"), weights, strict=True))
        return labeled(table, job, once=once, grouped=grouped)

    given = Given(rows=rows, columns=(("attention_mask", "completion_mask"),))
    return train_rows(_KTO, arguments, given, method, job, probe)


def balanced(table: pd.DataFrame) -> tuple[float, float]:
    """Return the weights of desirable and undesirable responses with which both sums are half of their number.

    Raises:
        UserError: All labels are alike.
    """
    good = int(table.label.sum())
    if not 0 < good < len(table):
        raise UserError("kto.balance_labels needs labels of both kinds; all are alike. Leave it out, or give others.")
    return len(table) / (2 * good), len(table) / (2 * (len(table) - good))


def kto_order(passes: NDArray[np.int64], steps: int, batch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that KTO visits, each with the row whose response it borrows for the KL estimate.

    Within a batch, each prompt borrows the response of the previous row, and the first that of the last, as in TRL.

    ``passes`` holds the rows of each pass over the data, (P, I); both results have ``steps * batch`` row numbers.
    """
    rows = passes.reshape(-1)[: steps * batch]
    borrowed = np.roll(rows.reshape(steps, batch), 1, axis=1).reshape(-1)
    return rows, borrowed


def lenders(first_pass: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row the one whose response it always borrows: the previous row in the first pass, (I,)."""
    lender = np.empty_like(first_pass)
    lender[first_pass] = np.roll(first_pass, 1)
    return lender


def shuffled_passes(
    responses: int, passes: int, seed: int, *, batch: int = 1, lengths: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return a new shuffle for each pass over the data, (P, I); with ``lengths``, as in `LengthSampler`."""
    if lengths is not None:
        return np.stack([length_grouped(lengths, batch, np.random.default_rng([seed, n])) for n in range(passes)])
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(responses) for _ in range(passes)])


def labeled(table: pd.DataFrame, job: Job, *, once: bool = False, grouped: bool = False) -> Dataset:
    """Return the whole training in order, one row per response.

    With ``once`` the reference reads each row once, so that a row borrows the same response in every pass, as in TRL's
    own order; with ``grouped`` rows of similar length share a batch.
    """
    from datasets import Dataset

    batch = job.batch_responses
    endless = MOST_PASSES * -(-len(table) // batch)  # then the order repeats
    steps = job.optimizer_steps if job.budget.planned else endless
    lengths = (table.prompt_ids.map(len) + table.completion_ids.map(len)).to_numpy() if grouped else None
    passes = shuffled_passes(len(table), -(-steps * batch // len(table)), job.seed, batch=batch, lengths=lengths)
    rows, borrowed = kto_order(passes, steps, batch)
    read = _reader(table)
    if not once:  # rows are looked up on access: a long training has each many times
        return Dataset.from_dict({"row": rows, "borrowed": borrowed}).with_transform(read)
    unique = {"row": np.arange(len(table)), "borrowed": lenders(passes[0])}
    return Dataset.from_dict(unique | read(unique)).select(rows)


def _reader(table: pd.DataFrame) -> Callable[[Mapping[str, Any]], dict[str, list[Any]]]:
    """Return a function from row numbers and borrowed row numbers to KTOTrainer's rows."""
    prompts, completions = ids(table.prompt_ids), ids(table.completion_ids)
    labels = [bool(label) for label in table.label]

    def read(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        return {
            "prompt_ids": [prompts[i] for i in batch["row"]],
            "completion_ids": [completions[i] for i in batch["row"]],
            "KL_completion_ids": [completions[i] for i in batch["borrowed"]],
            "label": [labels[i] for i in batch["row"]],
        }

    return read
