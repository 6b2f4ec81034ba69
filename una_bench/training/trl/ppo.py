"""PPO with TRL's unmodified PPOTrainer, with the instruments attached from outside."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from trl.experimental.ppo import PPOConfig, PPOTrainer

from una_bench.errors import UserError
from una_bench.instruments.fairness_facts import dropout, record_rows
from una_bench.instruments.phases import BOOKKEEPING
from una_bench.interfaces.budget import ENDLESS_STEPS, Budget, Spent
from una_bench.interfaces.prepared import Prepared
from una_bench.models import weight_files
from una_bench.record.schema import ADAPTED
from una_bench.training.common import (
    common_arguments,
    load_policy,
    lora_config,
    own_settings,
    record_facts,
    silence,
)
from una_bench.training.schedule import follow
from una_bench.training.trl.rollout import Instruments
from una_bench.training.trl.scoring import reward_module

if TYPE_CHECKING:
    from datasets import Dataset

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job, Method


MOST_ROLLOUTS = 1024
"""Maximum rollouts whose prompts are shuffled as one pass; longer trainings repeat this."""


def train_ppo(method: Method, job: Job, probe: Probe) -> Path:
    """Train with TRL's PPOTrainer and save the policy to ``job.out / "checkpoint"``.

    One step of the probe is one update: generate, score, then all epochs of mini-batches. Responses and tokens are
    counted once per PPO epoch, as often as they are trained on.
    """
    prepared = Prepared(job.prepared)
    policy, _ = load_policy(job, probe)
    with probe.phase("load"), _mixed_precision(job.precision):
        tokenizer = _tokenizer(prepared.policy)
        reward, value_from = reward_module(job, prepared, tokenizer)
        _note_facts(probe, prepared, policy, tokenizer, value_from is not None)
        policy.generation_config.pad_token_id = tokenizer.pad_token_id
        arguments = _arguments(method, job)
        data = _prompts(prepared, arguments)
        trainer = PPOTrainer(
            args=arguments,
            processing_class=tokenizer,
            model=policy,
            ref_model=None if job.lora else _load("AutoModelForCausalLM", prepared.policy),
            reward_model=reward,
            value_model=_value_model(method, job, probe, value_from or prepared.policy),
            train_dataset=data,
            eval_dataset=data.select(range(1)),  # required for a loader, but never read
            peft_config=lora_config(job),
        )
        silence(trainer)
    probe.facts["sampling"] = {"temperature": job.temperature, "top_k": 0, "top_p": 1.0}  # TRL has neither
    probe.facts["reference"] = (
        "the policy without its adapters, once a rollout" if job.lora else "a model, once a rollout"
    )
    probe.facts["dropout"] = dropout(trainer.model)
    record_rows(probe, trainer, given=len(data), kept=len(trainer.train_dataset), lengths=())
    if not job.budget.planned:
        follow(trainer, probe, job.budget, method.min_lr_rate)
        trainer.create_scheduler(arguments.num_total_batches, trainer.optimizer.optimizer)
    instruments = Instruments(trainer, probe, reward, job.budget)
    trainer.add_callback(instruments.callback())
    with suppress(Spent):
        trainer.train()
    instruments.close()
    with probe.phase("save"):
        checkpoint = job.out / "checkpoint"
        trainer.policy_model.save_pretrained(checkpoint)
        _tokenizer(prepared.policy, separate_padding=False).save_pretrained(checkpoint)
    return checkpoint


def _value_model(method: Method, job: Job, probe: Probe, folder: Path) -> Any:
    """Load the value model, trained in full, or only adapters inside it and its head."""
    model = _load("AutoModelForSequenceClassification", folder, num_labels=1)
    adapted = job.lora is not None and method.settings()["value_adapters"]
    probe.facts["value_model_trained"] = ADAPTED if adapted else "in full"
    if adapted:
        from peft import inject_adapter_in_model

        # Inside the model, not around it: PPOTrainer separates body and head.
        model = inject_adapter_in_model(lora_config(job, task="SEQ_CLS"), model)
        model.score.requires_grad_(True)
    return model


def _note_facts(probe: Probe, prepared: Prepared, policy: Any, tokenizer: Any, value_from_reward: bool) -> None:
    prompt_ids = prepared.prompts("train").prompt_ids
    with probe.phase(BOOKKEEPING):
        record_facts(probe, model=policy, tokenizer=tokenizer, prompt_ids=prompt_ids, completion_ids=None)
    probe.facts.update(
        max_grad_norm="not applied by TRL",
        value_model="the reward model's weights" if value_from_reward else "the policy's body under a new head",
        responses_are="generated; counted once per PPO epoch",
        lr_schedule="cosine with linear warm-up, advanced by TRL once per update, not per optimizer step",
    )


def _arguments(method: Method, job: Job) -> Any:
    own = own_settings(method)
    own.pop("value_adapters")
    rollout, epochs, parts = own.pop("responses_per_rollout"), own["num_ppo_epochs"], own["num_mini_batches"]
    at_once = _at_once(own.pop("per_device_train_batch_size"), rollout, parts)
    if method.activation_checkpointing:
        raise UserError("PPO keeps its activations: set ppo.activation_checkpointing=false.")
    shared = common_arguments(method, job)
    # TRL advances the schedule once per update.
    shared["warmup_steps"] = round(shared["warmup_steps"] / (epochs * parts))
    return PPOConfig(
        **shared,
        total_episodes=_episodes(job.budget, rollout, steps_per_rollout=epochs * parts, epochs=epochs),
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=rollout // at_once,
        per_device_eval_batch_size=1,
        response_length=job.max_new_tokens,
        temperature=job.temperature,
        stop_token="eos",
        num_sample_generations=0,  # debugging samples, which TRL would print
        **own,
    )


def _at_once(requested: int | None, rollout: int, parts: int) -> int:
    """Return the responses per device batch: the whole rollout, which TRL splits into mini-batches, or ``requested``.

    With accumulation, TRL steps after the whole rollout and ignores mini-batches.
    """
    if rollout % parts:
        raise UserError(f"responses_per_rollout={rollout} must be a multiple of num_mini_batches={parts}.")
    if requested is None:
        return rollout
    if parts != 1 or rollout % requested:
        raise UserError(
            f"per_device_train_batch_size={requested} must divide responses_per_rollout={rollout}, and needs "
            f"num_mini_batches=1, not {parts}."
        )
    return requested


def _episodes(budget: Budget, rollout: int, *, steps_per_rollout: int, epochs: int) -> int:
    """Return the responses to generate; the budget counts them once per epoch."""
    if budget.kind == "responses":
        return math.ceil(budget.amount / epochs)
    updates = math.ceil(budget.amount / steps_per_rollout) if budget.planned else ENDLESS_STEPS
    return updates * rollout


def _load(architecture: str, folder: Path, **options: Any) -> Any:
    import transformers

    return getattr(transformers, architecture).from_pretrained(
        folder, dtype=torch.float32, **weight_files.loading(folder), **options
    )


def _tokenizer(folder: Path, *, separate_padding: bool = True) -> Any:
    """Load the policy's tokenizer, padding on the left, with a padding token that is not the end token.

    PPOTrainer finds the end of a response by its padding: if both were one token, the end token would be neither scored
    nor trained.
    """
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **weight_files.loading(folder))
    if not separate_padding or tokenizer.pad_token_id not in (None, tokenizer.eos_token_id):
        return tokenizer
    config = AutoConfig.from_pretrained(folder, **weight_files.loading(folder))
    if tokenizer.unk_token_id not in (None, tokenizer.eos_token_id):
        tokenizer.pad_token = tokenizer.unk_token
    elif config.get_text_config().vocab_size > len(tokenizer):
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    else:
        raise UserError(
            "PPO needs a padding token apart from the end token, and this policy's vocabulary has no room. Name a "
            "token that the data does not use as pad_token in its tokenizer_config.json."
        )
    return tokenizer


def _prompts(prepared: Prepared, arguments: Any) -> Dataset:
    """Return the training prompts, repeated so that all rollouts (up to `MOST_ROLLOUTS`) are one shuffled pass.

    PPOTrainer drops the last incomplete batch of a pass, and never ends on less than one batch.
    """
    from datasets import Dataset

    table = prepared.prompts("train")
    ids = [[int(i) for i in prompt] for prompt in table.prompt_ids]
    rollout = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    needed = min(math.ceil(arguments.total_episodes / rollout), MOST_ROLLOUTS) * rollout
    passes = math.ceil(needed / len(ids))
    return Dataset.from_dict({"input_ids": ids}).select(list(range(len(ids))) * passes)


@contextmanager
def _mixed_precision(precision: str) -> Iterator[None]:
    """Set the precision of training passes in the environment, the only place that PPOTrainer's Accelerator reads.

    Rollouts, reference and reward model stay in float32, as in TRL.
    """
    name = "ACCELERATE_MIXED_PRECISION"
    before = os.environ.get(name)
    os.environ[name] = "bf16" if precision == "bfloat16" else "no"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
