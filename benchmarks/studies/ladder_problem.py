"""Prepared folders of the study `ladder`: a policy, random words as prompts and pairs, and a small reward model.

Random words, because time and memory do not depend on what is said: prompts have the same number of tokens, generated
responses all have the maximum length (the end token is one that the policy practically never draws), and given ones
have between a quarter of it and all of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from una_vs_trl_contestants import config_of, tokenizer_of

PROMPT_TOKENS, PAIRS = 24, 16
VOCABULARY = 2048
"""Of the small model: a Llama of four layers, d = 256, with random weights."""
UNUSED = "<file_sep>"
"""Token of SmolLM2 that ends responses here."""


def prepare(folder: Path, model: str, length: int) -> Path:
    """Fill a prepared folder for the model ``small`` or ``smollm2`` and responses of ``length`` tokens."""
    policy, tokenizer, words = _small() if model == "small" else _smollm2()
    policy.generation_config.eos_token_id = policy.config.eos_token_id = tokenizer.eos_token_id
    policy.save_pretrained(folder / "policy")
    _reward(len(policy.get_input_embeddings().weight), tokenizer.eos_token_id).save_pretrained(folder / "reward")
    for name in ("policy", "reward"):
        tokenizer.save_pretrained(folder / name)
    # A reward model that reads text: PPO's value model then starts from the policy, as large as it.
    style = {"policy_tokens": True, "end": tokenizer.eos_token}
    (folder / "reward" / "style.json").write_text(json.dumps(style))
    table = _pairs(words, tokenizer, length)
    table.to_parquet(folder / "responses.parquet")
    prompts = table[["prompt", "prompt_ids"]].drop_duplicates("prompt").assign(split="train")
    prompts.to_parquet(folder / "prompts.parquet")
    (folder / "manifest.json").write_text(json.dumps({"kind": "ladder", "settings": {"kind": "ladder"}}))
    return folder


def _small() -> tuple[Any, Any, list[int]]:
    from transformers import LlamaForCausalLM

    tokenizer = tokenizer_of(VOCABULARY)
    return LlamaForCausalLM(config_of(VOCABULARY)), tokenizer, list(range(VOCABULARY - 2))


def _smollm2() -> tuple[Any, Any, list[int]]:
    """Return SmolLM2-135M-Instruct with another end token, and its tokens that are a space and a word."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from una_bench.models import catalog

    folder = catalog.added_folder("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder, eos_token=UNUSED)
    words = [i for token, i in tokenizer.get_vocab().items() if token[:1] == "Ġ" and token[1:].isascii()]
    whole = [i for i in sorted(words) if tokenizer(tokenizer.decode([i]))["input_ids"] == [i]]
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32"), tokenizer, whole


def _reward(vocabulary: int, eos: int) -> Any:
    """Return a classifier of one layer: the methods differ in the models that they train, not in this one."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForSequenceClassification(
        LlamaConfig(vocab_size=vocabulary, num_labels=1, pad_token_id=eos, eos_token_id=eos, bos_token_id=None, **sizes)
    )


def _pairs(words: list[int], tokenizer: Any, length: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for pair in range(PAIRS):
        prompt = rng.choice(words, PROMPT_TOKENS).tolist()
        for chosen in (True, False):
            completion = [*rng.choice(words, rng.integers(length // 4, length)).tolist(), tokenizer.eos_token_id]
            rows.append({"pair": pair, "chosen": chosen, "prompt_ids": prompt, "completion_ids": completion})
    table = pd.DataFrame(rows)
    for name in ("prompt", "completion"):
        table[name] = [tokenizer.decode(ids) for ids in table[f"{name}_ids"]]
    score = table["chosen"].map({True: 0.8, False: 0.2})
    return table.assign(label=table["chosen"], score=score, reward=score)
