"""A language of eight letters, a policy and a reward model for it, and scored responses: what tests train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

END, PAD = ".", "_"
LETTERS = "abcdefgh"
DIGITS = "01234567"
PAIRS = 32


def tiny_tokenizer() -> Any:
    """Characters: eight letters to answer with, eight digits to ask with, an end and a padding token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: i for i, character in enumerate(END + LETTERS + DIGITS + PAD)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False, padding_side="right"
    )


def tiny_policy(seed: int = 0, **overrides: Any) -> Any:
    """Two layers of Phi (its output layer has a bias), d = 64, 18 tokens."""
    import torch
    from transformers import PhiConfig, PhiForCausalLM

    torch.manual_seed(seed)
    return PhiForCausalLM(PhiConfig(**_sizes() | overrides)).float()


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": 18,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 17,
    }


def tiny_responses(pairs: int = PAIRS, seed: int = 0) -> pd.DataFrame:
    """Scored responses of one to four letters; the more of the letter ``a``, the better."""
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(pairs):
        prompt = "".join(rng.choice(list(DIGITS), 2))
        for _ in range(2):
            letters = "".join(rng.choice(list(LETTERS), rng.integers(1, 4)))
            completion = letters + END
            reward = 2.0 * letters.count("a") - 0.5 * len(letters) + rng.normal()
            rows.append({"pair": pair, "prompt": prompt, "completion": completion, "reward": reward})
    table = pd.DataFrame(rows)
    tokens = {character: i for i, character in enumerate(END + LETTERS + DIGITS + PAD)}
    for column in ("prompt", "completion"):
        table[f"{column}_ids"] = [[tokens[c] for c in text] for text in table[column]]
    table["score"] = 1 / (1 + np.exp(-table["reward"]))
    table["label"] = rng.random(len(table)) < table["score"]
    table["chosen"] = table.groupby("pair")["reward"].rank(method="first").eq(2)
    return table


def write_tiny_prepared(folder: Path) -> Path:
    """Fill ``folder`` as `una_bench.interfaces.prepared.Prepared` describes."""
    import torch
    from transformers import PhiConfig, PhiForSequenceClassification

    tokenizer = tiny_tokenizer()
    tiny_policy().save_pretrained(folder / "policy")
    torch.manual_seed(1)
    reward = PhiForSequenceClassification(PhiConfig(**_sizes(), num_labels=1)).float()
    reward.save_pretrained(folder / "reward")
    for name in ("policy", "reward"):
        tokenizer.save_pretrained(folder / name)
    table = tiny_responses()
    table.to_parquet(folder / "responses.parquet")
    tiny_responses(8, seed=1).to_parquet(folder / "responses_heldout.parquet")
    prompts = table[["prompt", "prompt_ids"]].drop_duplicates("prompt").reset_index(drop=True)
    prompts["split"] = np.where(np.arange(len(prompts)) % 4 == 3, "heldout", "train")
    prompts.to_parquet(folder / "prompts.parquet")
    manifest = {"kind": "tiny", "settings": {"kind": "tiny"}, "hashes": {}, "counts": {"responses": len(table)}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
