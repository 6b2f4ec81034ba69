"""Kinds of checkpoints, each trained for a step in full and with adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from text_models import scored_rows, write_kind, write_rows

from una_bench.evaluation.checkpoints import load_checkpoint
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Checkpoint
from una_bench.interfaces.method import Job, Lora
from una_bench.interfaces.prepared import Prepared

pytestmark = [
    # TRL and peft ask by a name that transformers renamed.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    # peft sets by itself what GPT-2's layers need, and looks for experts among modules only.
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning"),
]
KINDS: dict[str, dict[str, Any]] = {
    "tied": {"kind": "Llama", "tie_word_embeddings": True},
    "conv1d": {"kind": "GPT2", "n_positions": 256, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "experts": {"kind": "Mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "bfloat16": {"kind": "Llama", "dtype": torch.bfloat16},
    "sharded": {"kind": "Llama", "shards": "20KB"},
}


@pytest.fixture(scope="module", params=KINDS)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp(request.param)
    policy = write_kind(folder / "model", **KINDS[request.param])
    data = write_rows(folder / "data.jsonl", scored_rows())
    settings = {"kind": "preference", "policy": str(policy), "dataset": str(data), "reward_model": None}
    registry.problem({**settings, "max_prompt_length": 100, "max_response_length": 20}).prepare(
        folder / "out", lambda _: None
    )
    return Prepared(folder / "out")


@pytest.mark.parametrize(("method", "lora"), [("dpo", Lora(r=2)), ("una_score", None)], ids=["adapters", "in full"])
def test_every_matrix_of_a_kind_of_model_trains(
    method: str, lora: Lora | None, prepared: Prepared, tmp_path: Path
) -> None:
    job = Job(
        prepared=prepared.path,
        out=tmp_path,
        seed=0,
        budget_steps=2,
        batch_responses=4,
        max_prompt_length=100,
        max_new_tokens=20,
        lora=lora,
    )
    registry.method(method)(warmup_steps=0, learning_rate=0.01).train(job, Probe(device="cpu"))
    initial, _ = load_checkpoint(Checkpoint(path=prepared.policy, prepared=prepared, out=tmp_path))
    before = {name: weight.clone() for name, weight in initial.named_parameters()}
    trained, _ = load_checkpoint(Checkpoint(path=tmp_path / "checkpoint", prepared=prepared, out=tmp_path))
    after = dict(trained.named_parameters())
    assert all(torch.isfinite(weight).all() for weight in after.values())
    matrices = {name for name, weight in before.items() if weight.ndim > 1 and (".layers." in name or ".h." in name)}
    assert matrices and not [name for name in matrices if torch.equal(before[name], after[name])]


def test_weights_of_a_kind_are_read_whole(prepared: Prepared) -> None:
    files = sorted(prepared.policy.glob("*.safetensors"))
    index = prepared.policy / "model.safetensors.index.json"
    assert len(files) > 1 if index.is_file() else [file.name for file in files] == ["model.safetensors"]
