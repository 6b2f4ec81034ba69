"""Tasks of the self-check in a worker: a small model with data, and a known allocation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

VOCABULARY, WIDTH, LAYERS, HEADS, INNER = 2048, 512, 4, 8, 1376
ROWS = 16
PROMPT, RESPONSE = 16, 16
"""Tokens of every prompt and of every response."""
JOB: Mapping[str, Any] = {
    "budget_steps": 24,
    "batch_responses": 2,
    "max_prompt_length": PROMPT,
    "max_new_tokens": RESPONSE,
}


def write(spec: Mapping[str, Any], pipe: Connection | None) -> dict[str, Any]:
    """Fill the prepared folder ``spec["out"]``; a task of `una_bench.worker.entry`."""
    folder = Path(spec["out"])
    _write_model(folder / "policy")
    _write_rows(folder)
    manifest = {"kind": "selfcheck", "settings": {"kind": "selfcheck"}, "hashes": {}, "counts": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {}


def _write_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=PROMPT + RESPONSE,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    inner = Tokenizer(WordLevel(words, unk_token="w1"))
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="w0", pad_token="w1").save_pretrained(folder)


def _write_rows(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    prompts = rng.integers(2, VOCABULARY, (ROWS // 2, PROMPT)).repeat(2, axis=0)
    responses = rng.integers(2, VOCABULARY, (ROWS, RESPONSE))
    score = rng.random(ROWS)
    table = pd.DataFrame(
        {
            "pair": np.arange(ROWS) // 2,
            "prompt": [" ".join(f"w{i}" for i in ids) for ids in prompts],
            "completion": [" ".join(f"w{i}" for i in ids) for ids in responses],
            "prompt_ids": prompts.tolist(),
            "completion_ids": responses.tolist(),
            "reward": np.log(score / (1 - score)),
            "score": score,
            "label": score > 0.5,
            "chosen": np.arange(ROWS) % 2 == 0,
        }
    )
    table.to_parquet(folder / "responses.parquet")
    unique = table[["prompt", "prompt_ids"]].iloc[::2].assign(split="train")
    unique.to_parquet(folder / "prompts.parquet")


def allocate(spec: Mapping[str, Any], pipe: Connection) -> dict[str, Any]:
    """Hold ``spec["bytes"]`` for an instant in a phase and return the probe's readings; a task of `worker.entry`."""
    import torch

    from una_bench.instruments.probe import Probe
    from una_bench.worker import first_touch

    first_touch.touch_code()
    probe = Probe(device=str(spec["device"]))
    with probe.phase("known"):
        held = torch.ones(int(spec["bytes"]), dtype=torch.uint8, device=probe.device)
        del held
    return {"bytes": probe.peaks["known"].bytes}
