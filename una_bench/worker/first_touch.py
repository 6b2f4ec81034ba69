"""Warm-up of a process before its memory baseline is read.

The kernel maps each page of the libraries' code when it first runs. Without a warm-up, about 25 MB of PyTorch's and
pandas' code would count as memory of the training.
"""

from __future__ import annotations

import io


def touch_code() -> None:
    """Train and run a tiny model, run the reference workload and read a small table; keeps the random state."""
    import pandas as pd
    import torch

    from una_bench.instruments.reference_workload import Yardstick

    with torch.random.fork_rng(devices=[]):
        _train_and_generate()
    Yardstick().seconds()
    file = io.BytesIO()
    pd.DataFrame({"ids": [[1, 2]] * 8, "text": ["x"] * 8}).to_parquet(file)
    file.seek(0)
    pd.read_parquet(file)


def _train_and_generate() -> None:
    import torch
    from transformers import PhiConfig, PhiForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = PhiConfig(**sizes, vocab_size=32, max_position_embeddings=32, bos_token_id=None, pad_token_id=0)
    model = PhiForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters())
    ids_BT = torch.arange(48).view(8, 6).remainder(30) + 2
    mask_BT = torch.ones_like(ids_BT)
    for _ in range(2):
        model(input_ids=ids_BT, attention_mask=mask_BT).logits.log_softmax(-1).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.generate(ids_BT, attention_mask=mask_BT, max_new_tokens=3, do_sample=True, eos_token_id=None)
