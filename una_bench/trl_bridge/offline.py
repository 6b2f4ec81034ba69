"""Trains DPO and KTO with TRL on the prepared responses, token for token as every other method sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

from una_bench.data import Prepared
from una_bench.errors import UserError
from una_bench.facts import record_rows
from una_bench.flops import watch_trainer
from una_bench.phases import BOOKKEEPING
from una_bench.tokens import doubled_ends
from una_bench.training import common_arguments, fit, load_policy, lora_config, record_facts
from una_bench.trl_bridge.common import in_phase, own_settings, quiet_arguments

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from una_bench.measure import Probe
    from una_bench.method import Job, Method


MOST_PASSES = 16
"""Passes over the data that are shuffled anew for KTO where nobody knows how many it will be."""


class _DPO(DPOTrainer):
    """DPOTrainer on responses that are tokens already: its own preparation would add an end token to each."""

    def __init__(self, *args: Any, probe: Probe, **kwargs: Any) -> None:
        self.probe = probe
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *args: Any) -> Dataset:
        watch_trainer(self.probe, self)
        with self.probe.phase("reference"):
            return super()._precompute_ref_logps(*args)


class _KTO(KTOTrainer):
    """KTOTrainer on responses that are tokens already."""

    def __init__(self, *args: Any, probe: Probe, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def train_dpo(method: Method, job: Job, probe: Probe) -> Path:
    """Train with TRL's DPOTrainer on the prepared pairs; half as many pairs a step as responses."""
    from trl import DPOConfig

    own = own_settings(method)
    doubled = bool(own.pop("doubled_bos"))
    arguments = DPOConfig(
        **quiet_arguments() | common_arguments(method, job),
        per_device_train_batch_size=job.batch_responses // 2,
        max_length=None,  # preparation has bounded lengths for all methods alike
        precompute_ref_batch_size=job.batch_responses,
        **own,
    )
    return _train(_DPO, arguments, _pairs, job, probe, doubled_bos=doubled)


def train_kto(method: Method, job: Job, probe: Probe) -> Path:
    """Train with TRL's KTOTrainer on the prepared responses and their labels."""
    from trl import KTOConfig

    if job.batch_responses < 2:
        raise UserError("KTO compares responses within a batch: batch_responses must be at least 2.")
    arguments = KTOConfig(
        **quiet_arguments() | common_arguments(method, job),
        per_device_train_batch_size=job.batch_responses,
        train_sampling_strategy="sequential",  # the rows are shuffled and paired beforehand
        max_length=None,
        **own_settings(method),
    )
    return _train(_KTO, arguments, lambda table: _labelled(table, job), job, probe)


def _train(
    kind: type[Any],
    arguments: Any,
    rows: Callable[[pd.DataFrame], Dataset],
    job: Job,
    probe: Probe,
    *,
    doubled_bos: bool = False,
) -> Path:
    policy, tokenizer = load_policy(job, probe)
    # Tables and hashes are the harness's own; what the trainer keeps of them counts from here on.
    with probe.phase(BOOKKEEPING):
        table = doubled_ends(Prepared(job.prepared).responses(), job.prepared, bos=doubled_bos)
        prompt_ids, completion_ids = table.prompt_ids, table.completion_ids
        record_facts(probe, model=policy, tokenizer=tokenizer, prompt_ids=prompt_ids, completion_ids=completion_ids)
        data = rows(table)
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
    probe.facts["reference"] = _where_reference(trainer)
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=lengths)
    reference = trainer.ref_model
    if reference is not None:
        reference.forward = in_phase(probe, "reference", reference.forward)
    return fit(trainer, probe, job, tally=_tally)


def _where_reference(trainer: Any) -> str:
    if trainer.precompute_ref_logps:
        return "one pass before training"
    return "the policy without its adapters, in every step" if trainer.ref_model is None else "a model, in every step"


def _tally(batch: Mapping[str, Any]) -> dict[str, int]:
    """Count one padded batch. KTO's mismatched rows are a second pass over the same tokens, not further responses."""
    responses, width = batch["input_ids"].shape
    real, response_tokens = int(batch["attention_mask"].sum()), int(batch["completion_mask"].sum())
    return {
        "responses": responses,
        "prompt_tokens": real - response_tokens,
        "response_tokens": response_tokens,
        "padding_tokens": responses * width - real,
    }


def _ids(column: pd.Series[Any]) -> list[list[int]]:
    return [[int(i) for i in ids] for ids in column]


def _pairs(table: pd.DataFrame) -> Dataset:
    """One row a pair, as DPOTrainer's collator takes them."""
    from datasets import Dataset

    chosen, rejected = table[table.chosen].sort_values("pair"), table[~table.chosen].sort_values("pair")
    if not (chosen.pair.to_numpy() == rejected.pair.to_numpy()).all():
        raise ValueError("responses.parquet must hold one chosen and one rejected response of each pair")
    return Dataset.from_dict(
        {
            "prompt_ids": _ids(chosen.prompt_ids),
            "chosen_ids": _ids(chosen.completion_ids),
            "rejected_ids": _ids(rejected.completion_ids),
        }
    )


def kto_order(responses: int, steps: int, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that KTO visits, each with the row whose response it borrows for the KL estimate.

    Every pass over the data has its own shuffle. Within a batch each prompt borrows the response of the row before
    it, the first one that of the last, as TRL does at map time.

    Returns:
        Two integer arrays of ``steps * batch`` row numbers.
    """
    generator = np.random.default_rng(seed)
    passes = -(-steps * batch // responses)
    rows = np.concatenate([generator.permutation(responses) for _ in range(passes)])[: steps * batch]
    borrowed = np.roll(rows.reshape(steps, batch), 1, axis=1).reshape(-1)
    return rows, borrowed


def _labelled(table: pd.DataFrame, job: Job) -> Dataset:
    """The whole training in order, one row a response, looked up when it is read."""
    from datasets import Dataset

    endless = MOST_PASSES * -(-len(table) // job.batch_responses)  # then the same order again
    steps = job.optimizer_steps if job.budget.planned else endless
    rows, borrowed = kto_order(len(table), steps, job.batch_responses, job.seed)
    prompts, completions = _ids(table.prompt_ids), _ids(table.completion_ids)
    labels = [bool(label) for label in table.label]

    def look_up(batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        return {
            "prompt_ids": [prompts[i] for i in batch["row"]],
            "completion_ids": [completions[i] for i in batch["row"]],
            "KL_completion_ids": [completions[i] for i in batch["borrowed"]],
            "label": [labels[i] for i in batch["row"]],
        }

    return Dataset.from_dict({"row": rows, "borrowed": borrowed}).with_transform(look_up)
