"""Model of known size on data of known lengths, with closed formulas for the cost of training.

It shares no code with `una_bench.instruments.flops` and `resident_memory`, which the self-check compares with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

BYTES = 4
"""Of one float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A Llama without shared weights, and responses that are all equally long."""

    vocabulary: int = 2048
    width: int = 512
    layers: int = 4
    heads: int = 8
    inner: int = 1376
    prompt: int = 16
    """Tokens of each prompt."""
    response: int = 16
    rows: int = 16
    batch: int = 2
    """Responses behind one optimizer step."""
    steps: int = 24

    @property
    def products(self) -> int:
        """Weights of the layers that each token is multiplied with."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.inner)

    @property
    def parameters(self) -> int:
        """All weights: layers, embedding, output layer, norms."""
        return self.products + 2 * self.vocabulary * self.width + (2 * self.layers + 1) * self.width

    def resident_bytes(self) -> dict[str, int]:
        """Bytes that training cannot do without: Adam keeps two numbers a weight."""
        size = self.parameters * BYTES
        return {"weights": size, "gradients": size, "optimizer": 2 * size}

    def forward(self, rows: int) -> float:
        """Operations of one forward pass: layers, causal attention, output layer on response tokens."""
        tokens = self.prompt + self.response
        layers = 2 * self.products * tokens
        attention = 4 * self.layers * self.width * tokens * (tokens + 1) / 2
        return rows * (layers + attention + self.output_layer)

    @property
    def output_layer(self) -> float:
        """Operations of the output layer on one response."""
        return 2 * self.vocabulary * self.width * self.response

    def flops(self) -> float:
        """Operations of the whole training: a reference pass, then steps whose backward pass costs two forwards.

        In a training this short every step is logged, with the entropy: the output layer once more.
        """
        step = 3 * self.forward(self.batch) + self.batch * self.output_layer
        return self.forward(self.rows) + self.steps * step

    def job(self) -> dict[str, Any]:
        """What a cell trains on, as a worker takes it."""
        return {
            "budget_responses": self.batch * self.steps,
            "batch_responses": self.batch,
            "max_prompt_length": self.prompt,
            "max_new_tokens": self.response,
        }


def write(spec: Mapping[str, Any], pipe: Connection) -> dict[str, Any]:
    """Fill the prepared folder ``spec["out"]``; a task of `una_bench.worker.entry`."""
    world, folder = World(**spec["world"]), Path(spec["out"])
    _write_model(world, folder / "policy")
    _write_rows(world, folder)
    manifest = {"kind": "selfcheck", "settings": {"kind": "selfcheck"}, "hashes": {}, "counts": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {}


def _write_model(world: World, folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=world.vocabulary,
        hidden_size=world.width,
        intermediate_size=world.inner,
        num_hidden_layers=world.layers,
        num_attention_heads=world.heads,
        num_key_value_heads=world.heads,
        max_position_embeddings=world.prompt + world.response,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {f"w{i}": i for i in range(world.vocabulary)}
    inner = Tokenizer(WordLevel(words, unk_token="w1"))
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="w0", pad_token="w1").save_pretrained(folder)


def _write_rows(world: World, folder: Path) -> None:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    prompts = rng.integers(2, world.vocabulary, (world.rows // 2, world.prompt)).repeat(2, axis=0)
    responses = rng.integers(2, world.vocabulary, (world.rows, world.response))
    score = rng.random(world.rows)
    table = pd.DataFrame(
        {
            "pair": np.arange(world.rows) // 2,
            "prompt": [" ".join(f"w{i}" for i in ids) for ids in prompts],
            "completion": [" ".join(f"w{i}" for i in ids) for ids in responses],
            "prompt_ids": prompts.tolist(),
            "completion_ids": responses.tolist(),
            "reward": np.log(score / (1 - score)),
            "score": score,
            "label": score > 0.5,
            "chosen": np.arange(world.rows) % 2 == 0,
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
    with probe.phase("nothing"):
        pass
    return {name: probe.peaks[name].bytes for name in ("known", "nothing")}
