"""TRL's offline trainers on prepared responses, with the same tokens as for every other method."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from datasets import Dataset, load_from_disk
from transformers import Trainer, TrainerCallback

from una_bench.instruments.fairness_facts import record_feedback, record_rows
from una_bench.instruments.flops import watch_trainer
from una_bench.instruments.phases import BOOKKEEPING
from una_bench.interfaces.method import Resident
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import processes
from una_bench.training.common import fit, in_phase, load_policy, lora_config, record_facts
from una_bench.una.samplers import LengthSampler

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method

NO_LOSS = -100
"""Label of a token without a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Rows of a trainer on given responses, and how its batches show them."""

    rows: Callable[[pd.DataFrame], Dataset]
    """Prepared responses -> one row per response or pair, in tokens."""
    columns: tuple[tuple[str, str], ...]
    """Columns of a batch, for each response of a row: its attention mask, and the mask or labels of the response."""
    responses_per_row: int = 1
    chosen_only: bool = False
    """Whether it gets the preferred response of each pair, twice, and not the other."""


class PreparedRows(Dataset):
    """A dataset of tokens that stays as it is, for trainers that would tokenize it and add tokens of their own."""

    def map(self, *_: Any, **__: Any) -> PreparedRows:
        """Return the dataset itself."""
        return self

    def filter(self, *_: Any, **__: Any) -> PreparedRows:
        """Return the dataset itself."""
        return self


class Epochs(TrainerCallback):
    """Sets a sampler's epoch; after a resume, a dataloader that skips batches may not do so."""

    def __init__(self, sampler: LengthSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Choose the order of the epoch that begins."""
        self.sampler.set_epoch(int(state.epoch or 0))


class AsPrepared:
    """Mixin of a TRL trainer that skips its preparation: responses are already tokens, and it would add end tokens."""

    args: Any
    train_dataset: Any
    add_callback: Any

    def __init__(self, *args: Any, probe: Probe, **kwargs: Any) -> None:
        self.probe = probe
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class InAnyOrder(AsPrepared):
    """Mixin of a TRL trainer that takes its rows in the order of `transformers.Trainer`, not in one of its own."""

    columns: tuple[tuple[str, str], ...]
    get_train_dataloader: Any

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, with reference log-probabilities that are to be computed once computed before."""
        if getattr(self.args, "precompute_ref_log_probs", False):
            with reference_pass(self, self.probe):
                self.get_train_dataloader()
        return super().train(*args, **kwargs)  # type: ignore[misc] # of the trainer behind

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        data = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return Trainer._get_train_sampler(self, data)
        sides = [data[mask.replace("attention_mask", "input_ids")] for mask, _ in self.columns]
        lengths = np.asarray([max(map(len, row)) for row in zip(*sides, strict=True)], dtype=np.int64)
        batch = self.args.per_device_train_batch_size * self.args.world_size
        sampler = LengthSampler(lengths, batch, self.args.data_seed)
        self.add_callback(Epochs(sampler))
        return sampler


def train_rows(kind: Callable[..., Any], arguments: Any, given: Given, method: Method, job: Job, probe: Probe) -> Path:
    """Train a ``kind`` of trainer on the prepared responses that have the method's feedback, in rows of ``given``."""
    policy, tokenizer = load_policy(job, probe)
    # Tables and hashes belong to the harness; what the trainer keeps of them counts from here on.
    with probe.phase(BOOKKEEPING):
        table = Prepared(job.prepared).responses(method=job.method, feedback=method.feedback)
        if given.chosen_only:  # twice, so that a pass has as many responses as for other methods
            table = pd.concat(2 * [table[table["chosen"]]], ignore_index=True)
        record_feedback(probe, table)
        prompt_ids, completion_ids = table.prompt_ids, table.completion_ids
        record_facts(probe, model=policy, tokenizer=tokenizer, prompt_ids=prompt_ids, completion_ids=completion_ids)
        data = given.rows(table)
        lengths = [len(p) + len(c) for p, c in zip(prompt_ids, completion_ids, strict=True)]
        del table, prompt_ids, completion_ids
    with probe.phase("load"):
        trainer = kind(
            probe=probe,
            model=policy,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=lora_config(job),
        )
    watch_trainer(probe, trainer)
    if Resident.REFERENCE in method.resident:
        probe.facts["reference"] = _where_reference(trainer)
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=lengths)
    reference = getattr(trainer, "ref_model", None)
    if reference is not None:
        reference.forward = in_phase(probe, "reference", reference.forward)
    return fit(trainer, probe, job, tally=lambda batch: tally(batch, given.columns))


@contextmanager
def reference_pass(trainer: Any, probe: Probe) -> Iterator[None]:
    """Measure the reference pass before training, in the precision of the policy's passes.

    TRL runs this pass in float32. With bfloat16, the log-ratios of an untrained policy, which should be 0, would then
    contain the full rounding error and not only that between different batches.
    """
    watch_trainer(probe, trainer)
    with probe.phase("reference"), trainer.accelerator.autocast():
        yield


@contextmanager
def on_file(dataset: Dataset) -> Iterator[Dataset]:
    """Give the dataset in a file that all processes see: TRL passes what it computes on in another beside it."""
    if processes.count() == 1:
        yield dataset
        return
    folder = processes.agreed(tempfile.mkdtemp(prefix="una-bench-") if processes.is_first() else "")
    if processes.is_first():
        dataset.save_to_disk(folder)
    processes.wait()
    yield load_from_disk(folder)
    processes.wait()
    if processes.is_first():
        shutil.rmtree(folder)  # the memory maps stay


def _where_reference(trainer: Any) -> str:
    if trainer.args.precompute_ref_log_probs:
        return "one pass before training"
    return "the policy without its adapters, in every step" if trainer.ref_model is None else "a model, in every step"


def tally(batch: Mapping[str, Any], columns: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """Count one padded batch; KTO's mismatched rows are a second pass over the same tokens, not more responses."""
    shapes = [batch[mask].shape for mask, _ in columns]
    responses, width = sum(rows for rows, _ in shapes), max(width for _, width in shapes)
    real = sum(int(batch[mask].sum()) for mask, _ in columns)
    response_tokens = sum(int(_own(batch[own], own).sum()) for _, own in columns)
    return {
        "responses": responses,
        "prompt_tokens": real - response_tokens,
        "response_tokens": response_tokens,
        "padding_tokens": responses * width - real,
    }


def _own(column: Any, name: str) -> Any:
    return column != NO_LOSS if name.endswith("labels") else column


def ids(column: pd.Series[Any]) -> list[list[int]]:
    """Return token ids as lists of int, for a `datasets.Dataset`."""
    return [[int(i) for i in row] for row in column]
