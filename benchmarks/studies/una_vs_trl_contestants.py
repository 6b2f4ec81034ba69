"""The trainers that the study `una_vs_trl` compares, each ready to train.

Contestants of a group share the model, the responses (offline) or prompts and response length (online), the number of
responses per optimizer step, AdamW, no checkpointing, and a frozen reference model unless their name says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import numpy as np
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

PROMPT_WORDS, RESPONSE_WORDS = 24, 48
PAIRS_PER_STEP, ROLLOUT, DEVICE_BATCH = 8, 32, 8


def tokenizer_of(vocabulary: int) -> Any:
    """Return a tokenizer with one token per word (``w3`` is token 3); the last two are end and padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(vocabulary)}, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=f"w{vocabulary - 2}", pad_token=f"w{vocabulary - 1}", padding_side="left"
    )


def config_of(vocabulary: int, **other: Any) -> LlamaConfig:
    """Return a configuration with four layers and d = 256."""
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=8,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, eos_token_id=vocabulary - 2,
        pad_token_id=vocabulary - 1, **other,
    )  # fmt: skip


def policy_in(folder: str, vocabulary: int) -> tuple[Any, Any]:
    """Return policy and tokenizer, saved in a folder because TRL loads its reference model from the policy's folder."""
    LlamaForCausalLM(config_of(vocabulary)).save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder), tokenizer_of(vocabulary)


def rows_of(vocabulary: int, count: int) -> list[dict[str, Any]]:
    """Return scored pairs of responses of 12 to 48 words to prompts of 24 words."""
    rng = np.random.default_rng(0)

    def words(number: int) -> str:
        return " ".join(f"w{i}" for i in rng.integers(0, vocabulary - 2, number))

    lengths = rng.integers(RESPONSE_WORDS // 4, RESPONSE_WORDS, (count, 2))
    return [
        {"prompt": words(PROMPT_WORDS), "texts": [" " + words(n) for n in pair], "scores": rng.random(2).tolist()}
        for pair in lengths
    ]


def shared(folder: str, steps: int) -> dict[str, Any]:
    """Return the arguments that all trainers share."""
    return {
        "output_dir": folder, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no",
        "logging_steps": 10, "learning_rate": 1e-4, "lr_scheduler_type": "constant", "optim": "adamw_torch",
        "activation_checkpointing": False, "bf16": False, "seed": 0, "dataloader_pin_memory": False,
        "log_level": "error", "max_steps": steps,
    }  # fmt: skip


def offline(name: str, vocabulary: int, steps: int, folder: str) -> Any:
    """Return an offline trainer: 16 responses per step, as 8 pairs or 16 rows."""
    from datasets import Dataset

    model, tokenizer = policy_in(folder, vocabulary)
    rows = rows_of(vocabulary, steps * PAIRS_PER_STEP)
    pairs = [{"prompt": r["prompt"], "chosen": r["texts"][0], "rejected": r["texts"][1]} for r in rows]
    singles = [
        {"prompt": r["prompt"], "completion": text, "score": score, "label": place == 0}
        for r in rows
        for place, (text, score) in enumerate(zip(r["texts"], r["scores"], strict=True))
    ]
    target = "label" if name == "kto" else "score"
    single = [{k: row[k] for k in ("prompt", "completion", target)} for row in singles]
    arguments = shared(folder, steps) | {"beta": 0.1, "max_length": 256}
    base, _, variant = name.partition("+")
    if base.startswith("una"):
        from una_bench import UNAConfig, UNATrainer

        paired = base == "una_pairwise"
        batch = PAIRS_PER_STEP if paired else 2 * PAIRS_PER_STEP
        reference = variant or "frozen"
        args = UNAConfig(
            **arguments, per_device_train_batch_size=batch, per_device_eval_batch_size=batch, reference=reference,
            reference_cache=folder,
        )  # fmt: skip
        trainer = UNATrainer(model, args, train_dataset=pairs if paired else single, processing_class=tokenizer)
        trainer.prepare_reference()
        return trainer
    if base == "dpo":
        from trl import DPOConfig, DPOTrainer

        args = DPOConfig(
            **arguments, per_device_train_batch_size=PAIRS_PER_STEP, precompute_ref_log_probs=variant == "precomputed",
            precompute_ref_batch_size=PAIRS_PER_STEP,
        )  # fmt: skip
        return DPOTrainer(model, args=args, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
    from trl import KTOConfig, KTOTrainer

    args = KTOConfig(
        **arguments, per_device_train_batch_size=2 * PAIRS_PER_STEP, train_sampling_strategy="sequential"
    )  # the KL rows need it
    return KTOTrainer(model, args=args, train_dataset=Dataset.from_list(single), processing_class=tokenizer)


def online(name: str, vocabulary: int, steps: int, folder: str) -> Any:
    """Return an online trainer: 32 responses of 48 tokens per rollout, 8 at a time."""
    from datasets import Dataset

    model, tokenizer = policy_in(folder, vocabulary)
    reward = LlamaForSequenceClassification(config_of(vocabulary, num_labels=1))
    prompts = [row["prompt"] for row in rows_of(vocabulary, ROLLOUT * steps)]
    arguments = shared(folder, steps) | {"per_device_train_batch_size": DEVICE_BATCH}
    accumulate = ROLLOUT // DEVICE_BATCH
    if name.startswith("una_online"):
        from una_bench import OnlineUNAConfig, OnlineUNATrainer

        iterations = int(name.partition("+")[2] or 1)
        arguments |= {"max_steps": steps * iterations, "gradient_accumulation_steps": accumulate, "beta": 0.1}
        args = OnlineUNAConfig(
            **arguments, responses_per_rollout=ROLLOUT, num_generations=4, num_iterations=iterations,
            max_completion_length=RESPONSE_WORDS, per_device_eval_batch_size=DEVICE_BATCH,
        )  # fmt: skip
        return OnlineUNATrainer(
            model, reward, args, train_dataset=[{"prompt": p} for p in prompts], processing_class=tokenizer,
            reward_processing_class=tokenizer,
        )  # fmt: skip
    data = Dataset.from_list([{"prompt": p} for p in prompts])
    make: dict[str, Callable[..., Any]] = {"rloo": _rloo, "online_dpo": _online_dpo}
    if name in make:
        return make[name](model, reward, tokenizer, data, arguments | {"gradient_accumulation_steps": accumulate})
    return _ppo(model, reward, tokenizer, data, arguments | {"num_ppo_epochs": int(name.removeprefix("ppo"))})


def _rloo(model: Any, reward: Any, tokenizer: Any, data: Any, arguments: dict[str, Any]) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    args = RLOOConfig(**arguments, num_generations=4, max_completion_length=RESPONSE_WORDS, beta=0.1)
    return RLOOTrainer(
        model, reward, args=args, train_dataset=data, processing_class=tokenizer, reward_processing_classes=tokenizer
    )


def _online_dpo(model: Any, reward: Any, tokenizer: Any, data: Any, arguments: dict[str, Any]) -> Any:
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    arguments["per_device_train_batch_size"] //= 2  # prompts, of two responses each
    args = OnlineDPOConfig(**arguments, max_new_tokens=RESPONSE_WORDS, max_length=256, beta=[0.1])
    return OnlineDPOTrainer(
        model, reward_funcs=reward, args=args, train_dataset=data, processing_class=tokenizer,
        reward_processing_classes=tokenizer,
    )  # fmt: skip


def _ppo(model: Any, reward: Any, tokenizer: Any, data: Any, arguments: dict[str, Any]) -> Any:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    steps = arguments.pop("max_steps")
    args = PPOConfig(
        **arguments, total_episodes=ROLLOUT * steps, gradient_accumulation_steps=ROLLOUT // DEVICE_BATCH,
        num_mini_batches=1, response_length=RESPONSE_WORDS, stop_token="eos", num_sample_generations=0,
        per_device_eval_batch_size=1, kl_coef=0.1,
    )  # fmt: skip
    data = data.map(lambda row: {"input_ids": tokenizer(row["prompt"])["input_ids"]}, remove_columns=["prompt"])
    value = LlamaForSequenceClassification(config_of(model.config.vocab_size, num_labels=1))
    reference = LlamaForCausalLM(config_of(model.config.vocab_size))
    return PPOTrainer(
        args=args, processing_class=tokenizer, model=model, ref_model=reference, reward_model=reward, value_model=value,
        train_dataset=data, eval_dataset=data.select(range(1)),
    )  # fmt: skip


OFFLINE = (
    "una_score",
    "una_pairwise",
    "dpo",
    "kto",
    "una_score+precomputed",
    "una_pairwise+precomputed",
    "dpo+precomputed",
)
ONLINE = ("una_online+1", "una_online+4", "ppo4", "ppo1", "rloo", "online_dpo")
