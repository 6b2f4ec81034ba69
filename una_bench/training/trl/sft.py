"""Supervised fine-tuning on prepared responses with TRL's SFTTrainer."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from una_bench.training.common import peft_config, quiet_arguments, silence
from una_bench.training.trl.offline import NO_LOSS, PreparedRows, ids

if TYPE_CHECKING:
    import pandas as pd

    from una_bench.interfaces.method import Lora

AT_ONCE = 4
"""Largest number of responses in one pass, whose logits are in memory; a step adds up the gradients of several."""


def fine_tune(  # noqa: PLR0913 - model, tokenizer and data, and the knobs of one plain training
    model: Any,
    tokenizer: Any,
    table: pd.DataFrame,
    *,
    seed: int,
    epochs: int,
    batch: int,
    learning_rate: float,
    lora: Lora | None,
) -> tuple[Any, int]:
    """Train a model on the responses of a table, and return it and the number of steps.

    The loss is the mean over response tokens. AdamW without weight decay, 10 % linear warm-up, then cosine to 0.
    ``batch`` counts responses per step. Adapters (``lora``) are merged into the weights.
    """
    at_once, steps = math.gcd(batch, AT_ONCE), epochs * math.ceil(len(table) / batch)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SFTConfig(
            output_dir=scratch,
            seed=seed,
            num_train_epochs=epochs,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=batch // at_once,
            learning_rate=learning_rate,
            warmup_steps=steps // 10,
            lr_scheduler_type="cosine",
            optim="adamw_torch",
            loss_type="nll",  # the default replaces the model's forward pass, which not every architecture has
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
            report_to="none",
            **quiet_arguments(),
        )
        set_seed(seed)  # the trainer does so only after it has drawn the adapters
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=response_rows(table),
            processing_class=tokenizer,
            peft_config=peft_config(lora),
        )
        silence(trainer)
        trainer.train()
    trained = trainer.accelerator.unwrap_model(trainer.model)
    return trained if lora is None else trained.merge_and_unload(), trainer.state.global_step


def response_rows(table: pd.DataFrame) -> PreparedRows:
    """Return one row per response in SFTTrainer's processed form: tokens as prepared, no loss on the prompt."""
    prompts, completions = ids(table["prompt_ids"]), ids(table["completion_ids"])
    rows: PreparedRows = PreparedRows.from_dict(
        {
            "input_ids": [[*p, *c] for p, c in zip(prompts, completions, strict=True)],
            "labels": [[*[NO_LOSS] * len(p), *c] for p, c in zip(prompts, completions, strict=True)],
        }
    )
    return rows
