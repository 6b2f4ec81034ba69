"""DPO with TRL on the prepared pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from trl.trainer.dpo_trainer import DPOTrainer

from una_bench.interfaces.prepared import pairs
from una_bench.training import division
from una_bench.training.common import common_arguments, own_settings
from una_bench.training.trl.offline import AsPrepared, Epochs, Given, ids, on_file, reference_pass, train_rows
from una_bench.una.samplers import LengthSampler

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method


class _DPO(AsPrepared, DPOTrainer):
    """DPOTrainer on pairs as prepared."""

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any) -> Dataset:
        order = np.arange(len(dataset))
        if self.args.train_sampling_strategy == "group_by_length":
            order = np.argsort(-_pair_lengths(dataset), kind="stable")
        with reference_pass(self, self.probe), on_file(dataset.select(order)) as ordered:
            once = super()._precompute_ref_logps(ordered, *args)
        return once.select(np.argsort(order))  # original order, so that batches are those of UNA-pairwise

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        lengths = _pair_lengths(self.train_dataset if train_dataset is None else train_dataset)
        batch = self.args.per_device_train_batch_size * self.args.world_size
        sampler = LengthSampler(lengths, batch, self.args.data_seed)
        self.add_callback(Epochs(sampler))
        return sampler


def train_dpo(method: Method, job: Job, probe: Probe, **fixed: Any) -> Path:
    """Train with TRL's DPOTrainer on the prepared pairs; a step has half as many pairs as responses.

    ``fixed`` are arguments of `trl.DPOConfig` that are no settings of the method, its ``loss_type`` above all.
    """
    from trl import DPOConfig

    arguments = DPOConfig(
        **common_arguments(method, job),
        per_device_train_batch_size=division.share(job.batch_responses // 2, "pairs"),
        max_length=None,  # preparation has bounded lengths for all methods alike
        precompute_ref_batch_size=job.batch_responses,
        **own_settings(method) | fixed,
    )
    return train_rows(_DPO, arguments, PAIRS, method, job, probe)


def pair_rows(table: pd.DataFrame) -> Dataset:
    """Return one row per pair, as DPOTrainer's collator expects."""
    from datasets import Dataset

    return Dataset.from_dict({str(name): ids(column) for name, column in pairs(table).items()})


PAIRS = Given(rows=pair_rows, columns=(("attention_mask", "completion_mask"),), responses_per_row=2)
"""Rows of DPOTrainer; its batches hold both responses of a pair in one column."""


def _pair_lengths(dataset: Dataset) -> np.ndarray:
    """Return the tokens of the longer side of each pair, which determines padding, (I,)."""
    sides = zip(dataset["prompt_ids"], dataset["chosen_ids"], dataset["rejected_ids"], strict=True)
    return np.asarray([len(prompt) + max(len(a), len(b)) for prompt, a, b in sides], dtype=np.int64)
