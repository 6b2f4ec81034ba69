"""Reward-model training on the prepared pairs with TRL's RewardTrainer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from una_bench.interfaces.prepared import Prepared, pairs
from una_bench.training.common import quiet_arguments, require_one_card, silence

if TYPE_CHECKING:
    from datasets import Dataset

EVALUATION_BATCH = 256
"""Pairs scored at once for the accuracy; affects memory, not the result."""


def train_reward_model(  # noqa: PLR0913 - three folders and the four knobs of one plain training
    init: Path, prepared: Path, out: Path, *, seed: int, steps: int, batch: int, learning_rate: float
) -> dict[str, float]:
    """Fit a Bradley-Terry reward model to the training pairs and save it with its tokenizer.

    The pairs are used as prepared; TRL would add an end token to responses without one. AdamW, 5 % linear warm-up, then
    cosine to 5 % of the peak.

    It starts from the body of the causal LM in ``init``, with a new scalar head; ``batch`` counts pairs per step.

    Returns:
        ``accuracy`` on training pairs and, where the folder has them, ``heldout_accuracy``: the share of pairs whose
        preferred response gets the higher reward; ``steps``.
    """
    from transformers import AutoTokenizer

    require_one_card("auto")
    tables = Prepared(prepared)
    train = _pairs(tables, "train")
    tokenizer = AutoTokenizer.from_pretrained(init)
    with tempfile.TemporaryDirectory() as scratch:
        # A path, not a model: TRL then seeds before the new head is drawn.
        arguments = _arguments(scratch, seed=seed, steps=steps, batch=batch, learning_rate=learning_rate)
        trainer = RewardTrainer(model=str(init), args=arguments, train_dataset=train, processing_class=tokenizer)
        silence(trainer)
        trainer.train()
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    figures = {"accuracy": _accuracy(trainer, train), "steps": float(steps)}
    heldout = _pairs(tables, "heldout") if (prepared / "responses_heldout.parquet").is_file() else ()
    if len(heldout):
        figures["heldout_accuracy"] = _accuracy(trainer, heldout)
    return figures


def _arguments(scratch: str, *, seed: int, steps: int, batch: int, learning_rate: float) -> Any:
    import torch

    return RewardConfig(
        output_dir=scratch,
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        warmup_steps=steps // 20,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        max_length=None,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        model_init_kwargs={"dtype": "float32", "device_map": None},
        logging_strategy="no",
        report_to="none",
        **quiet_arguments(),
    )


def _pairs(prepared: Prepared, split: str) -> Dataset:
    """Return pairs in RewardTrainer's processed form: prompt and response in one list of ids."""
    from datasets import Dataset

    table = pairs(prepared.responses(split))
    return Dataset.from_dict(
        {
            side: [[*prompt, *response] for prompt, response in zip(table.prompt_ids, table[side], strict=True)]
            for side in ("chosen_ids", "rejected_ids")
        }
    )


def _accuracy(trainer: Any, pairs: Dataset) -> float:
    """Return the share of ``pairs`` whose preferred response gets the higher reward; a tie counts as wrong."""
    import torch

    trainer.model.eval()
    right = 0
    for start in range(0, len(pairs), EVALUATION_BATCH):
        chunk = pairs[start : start + EVALUATION_BATCH]
        examples = [{"chosen_ids": c, "rejected_ids": r} for c, r in zip(*chunk.values(), strict=True)]
        inputs = {name: tensor.to(trainer.model.device) for name, tensor in trainer.data_collator(examples).items()}
        with torch.no_grad():
            chosen, rejected = trainer.model(**inputs).logits.squeeze(-1).chunk(2)
        right += int((chosen > rejected).sum())
    return right / len(pairs)
