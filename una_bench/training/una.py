"""Instrumented UNA trainings of the suites' methods, from a job and a method's settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import record_feedback, record_rows
from una_bench.instruments.flops import watch, watch_trainer
from una_bench.instruments.phases import BOOKKEEPING
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import processes
from una_bench.training import division, resume
from una_bench.training.common import common_arguments, fit, load_policy, lora_config, record_facts
from una_bench.training.rewards import required_reward
from una_bench.una.batch_splitting import padded_tokens

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method

Rows = Callable[["pd.DataFrame"], list[dict[str, Any]]]
"""Prepared responses -> rows of a UNA dataset in token ids."""
_OFFSET_SETTINGS = ("offset", "offset_rate", "offset_residual_rate", "offset_lr_multiplier")
_ROLLOUT_SETTINGS = ("num_generations", "responses_per_rollout", "num_iterations", "missing_eos_penalty")
_SETTINGS = ("beta", "space", "loss_type", "reduction", "logits_chunk_size", "share_prompts", *_OFFSET_SETTINGS)
_ONLINE_SETTINGS = ("normalization", "anchor", "sampler", *_ROLLOUT_SETTINGS)


def una_arguments(method: Method, job: Job, responses_per_row: int = 1, **fixed: Any) -> dict[str, Any]:
    """Return keyword arguments of a `UNAConfig`: the shared ones, the method's own, and its batch size.

    ``fixed`` are arguments that are no settings of the method.
    """
    settings = method.settings() | fixed
    rows = division.share(job.batch_responses // responses_per_row)
    at_once = settings.get("per_device_train_batch_size") or rows
    if rows % at_once:
        raise UserError(
            f"per_device_train_batch_size={at_once} does not divide the batch of {rows} rows"
            f" ({job.batch_responses} responses). Choose a divisor."
        )
    return common_arguments(method, job) | {
        **{name: settings[name] for name in (*_SETTINGS, *_ONLINE_SETTINGS) if name in settings},
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once * responses_per_row,
        "gradient_accumulation_steps": rows // at_once,
        "max_length": None,  # preparation has truncated responses for all methods
    }


def tally(batch: Mapping[str, Any]) -> dict[str, int]:
    """Count responses and tokens of a batch of `una_bench.una.examples.Examples`."""
    count, width = batch["input_ids"].shape
    response_tokens = _total(batch["lengths"])
    prompt_tokens = _total(batch["prompt_ends"]) - width * count * (count - 1) // 2 + count
    real = prompt_tokens + response_tokens
    return {
        "responses": count,
        "prompt_tokens": prompt_tokens,
        "response_tokens": response_tokens,
        "padding_tokens": batch["pack"].filler if "pack" in batch else padded_tokens(batch) - real,
    }


def _total(numbers: Tensor) -> int:
    """Return the sum by NumPy: right after a backward pass, PyTorch's code for it is not in the processor's caches."""
    return int(np.add.reduce((numbers if numbers.device.type == "cpu" else numbers.cpu()).numpy()))


def records(table: pd.DataFrame, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a table, or ``columns`` of them, as a UNA dataset."""
    columns = list(table.columns) if columns is None else columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*(table[c] for c in columns), strict=True)]


def _reference_folder(job: Job) -> Path:
    """Return the folder of this cell's reference pass, which every cell computes once.

    If an earlier process was killed before it saved a state, its pass is removed: a new training must compute it again.
    """
    folder = job.out / "reference"
    if processes.is_first() and resume.last_state(resume.folder_of(job)) is None:
        shutil.rmtree(folder, ignore_errors=True)
    processes.wait()
    return folder


def train_offline(
    method: Method, job: Job, probe: Probe, rows: Rows, *, responses_per_row: int = 1, **fixed: Any
) -> Path:
    """Train on the dataset that ``rows`` makes of the prepared responses; the reference pass is a separate phase.

    ``fixed`` are arguments of the `UNAConfig` that are no settings of the method.
    """
    from una_bench.una.config import UNAConfig
    from una_bench.una.trainer import UNATrainer

    model, tokenizer = load_policy(job, probe)
    names = ("chosen_ids", "rejected_ids") if responses_per_row == 2 else ("completion_ids",)
    # Tables and hashes belong to the harness; what the trainer keeps of them counts from here on.
    with probe.phase(BOOKKEEPING):
        table = Prepared(job.prepared).responses(method=job.method, feedback=method.feedback)
        record_feedback(probe, table)
        data = rows(table)
        del table
        record_facts(
            probe,
            model=model,
            tokenizer=tokenizer,
            prompt_ids=[row["prompt_ids"] for row in data for _ in names],
            completion_ids=[row[name] for row in data for name in names],
        )
    args = UNAConfig(
        **una_arguments(method, job, responses_per_row, **fixed),
        reference="precomputed",
        reference_cache=str(_reference_folder(job)),
    )
    with probe.phase("prepare"):
        trainer = UNATrainer(model, args, train_dataset=data, processing_class=tokenizer, peft_config=lora_config(job))
    lengths = (len(row["prompt_ids"]) + len(row[name]) for row in data for name in names)
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=lengths)
    del data, lengths
    watch_trainer(probe, trainer)
    probe.facts["reference"] = "one pass before training"
    obstacle = trainer.pack_obstacle
    probe.facts["prompts_shared"] = f"no: {obstacle}" if obstacle else "in batches where it saves computation"
    with probe.phase("reference"):
        trainer.prepare_reference()
    whole = method.settings().get("per_device_train_batch_size") is None  # else one process takes several passes a step
    return fit(trainer, probe, job, tally=tally, weighs=whole)


def train_online(method: Method, job: Job, probe: Probe, **fixed: Any) -> Path:
    """Train on generated responses to the prepared prompts, scored by the learned or the true reward.

    ``fixed`` are arguments of the `OnlineUNAConfig` that are no settings of the method.
    """
    from una_bench.models.reward_scorer import Scorer
    from una_bench.una.config import OnlineUNAConfig
    from una_bench.una.online import OnlineUNATrainer

    prepared = Prepared(job.prepared)
    model, tokenizer = load_policy(job, probe)
    prompts = prepared.prompts()
    record_facts(probe, model=model, tokenizer=tokenizer, prompt_ids=prompts["prompt_ids"], completion_ids=None)
    args = OnlineUNAConfig(
        **una_arguments(method, job, **fixed),
        max_completion_length=job.max_new_tokens,
        temperature=job.temperature,
        keep_special_tokens=True,  # rewards see whether a response ended or was truncated
    )
    per_rollout = args.responses_per_rollout * args.num_iterations // job.batch_responses
    if job.budget.planned and job.optimizer_steps < 2 * per_rollout:
        probe.warmup = 0  # the rates would leave out the only rollout, and with it all generation
    with probe.phase("load"):
        reward = required_reward(prepared, job, args.per_device_eval_batch_size)
    columns = [name for name in ("prompt", "prompt_ids", "log_partition") if name in prompts.columns]
    with probe.phase("prepare"):
        trainer = OnlineUNATrainer(
            model,
            reward,
            args,
            train_dataset=records(prompts, columns),
            processing_class=tokenizer,
            peft_config=lora_config(job),
        )
    trainer.phase = probe.phase
    if trainer.copy is not None:
        watch(probe, "policy", trainer.copy.model)
    lengths = (len(ids) + job.max_new_tokens for ids in trainer.prompts.ids)
    record_rows(probe, trainer, given=len(prompts), kept=len(trainer.prompts.ids), lengths=lengths)
    cut = trainer.sampling
    probe.facts["sampling"] = {"temperature": cut.temperature, "top_k": cut.top_k, "top_p": cut.top_p}
    adapted = trainer.reference_kind == "adapter_off"
    probe.facts["reference"] = f"{'the policy without its adapters' if adapted else 'a model'}, once a rollout"
    judge = next((r.model for r in trainer.reward.rewards if isinstance(r, Scorer)), None)
    if judge is not None:
        watch(probe, "reward", judge)
    return fit(trainer, probe, job, tally=lambda _: tally(trainer.last_batch), generates=True, reward=judge)
