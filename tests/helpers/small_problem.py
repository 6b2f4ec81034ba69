"""A small preference problem: prepared, trained on, and called from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from text_models import scored_rows, write_model, write_rows
from transformers import AutoModelForCausalLM

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job
from una_bench.interfaces.prepared import Prepared

REWARD = {"steps": 2, "batch": 2}
LENGTHS = {"max_prompt_length": 100, "max_response_length": 20}


def write_problem(folder: Path, **changed: Any) -> dict[str, Any]:
    """Return settings of a small problem whose model and data are in ``folder``."""
    policy = folder / "model"
    if "policy" not in changed and not policy.is_dir():
        write_model(policy)
    data = folder / "data.jsonl"
    if not data.exists():
        write_rows(data, scored_rows())
    settings = {"kind": "preference", "policy": str(policy), "dataset": str(data), "heldout_share": 0.25}
    return settings | LENGTHS | {"reward_model": None} | changed


def prepared_with(folder: Path, **changed: Any) -> Prepared:
    registry.problem(write_problem(folder, **changed)).prepare(folder / "out", lambda _: None)
    return Prepared(folder / "out")


def train(
    name: str, prepared: Prepared, out: Path, reward: Literal["learned", "true"] = "learned", **more: Any
) -> Probe:
    """Train one rollout or batch of four responses."""
    small = {"responses_per_rollout": 4, "num_generations": 2, "num_iterations": 1}
    small |= {"num_ppo_epochs": 1, "num_mini_batches": 2, "local_rollout_forward_batch_size": 4}
    method = registry.method(name)
    settings = {k: v for k, v in small.items() if k in method.model_fields}
    job = Job(
        prepared=prepared.path,
        out=out,
        seed=0,
        budget_responses=4,
        batch_responses=4,
        max_prompt_length=100,
        max_new_tokens=8,
        reward=reward,
    )
    probe = Probe(device="cpu")
    method(warmup_steps=0, **settings, **more).train(job, probe)
    return probe


def other_policy(prepared: Prepared, folder: Path) -> Path:
    """Write a copy of the policy with every weight moved a little."""
    model = AutoModelForCausalLM.from_pretrained(prepared.policy)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


def una_bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line in ``folder``, in a process of its own."""
    command = [sys.executable, "-m", "una_bench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
