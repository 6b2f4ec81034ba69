"""Script for `test_processes`: trains cells on its processes and writes what the first of them ends with."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import set_seed

from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.method import Job, Lora
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import processes, stop_request

RESPONSES = Prepared.responses
FREE = "k_proj.bias"
"""A bias that softmax cancels: its gradient is rounding, which Adam magnifies."""


def train(
    folder: Path, name: str, method: str, settings: dict[str, Any], changes: dict[str, Any], sharding: Any
) -> None:
    out = folder / f"{name}-{processes.count()}"
    out.mkdir(exist_ok=True)
    rows, stop_at = changes.pop("rows", None), changes.pop("stop_at", None)
    watch = {"evaluate_at": changes.pop("evaluate_at", ()), "watchers": [loss_of] if processes.is_first() else []}
    Prepared.responses = lambda *a, **k: RESPONSES(*a, **k).head(rows or 10**6)  # type: ignore[method-assign]
    lora = {"lora": Lora()} if changes.pop("lora", False) else {}
    shape = {"budget_responses": 72, "batch_responses": 8, "max_prompt_length": 2, "max_new_tokens": 4} | changes | lora
    job = Job(prepared=folder / "prepared", out=out, seed=0, processes=processes.count(), sharding=sharding, **shape)
    if stop_at is not None:
        interrupt(registry.method(method)(warmup_steps=2, **settings), job, stop_at)
    set_seed(job.seed)
    probe = Probe(**watch)
    checkpoint = registry.method(method)(warmup_steps=2, **settings).train(job, probe)
    probe.join_processes()
    if processes.is_first():
        weights = load_file(next(checkpoint.glob("*model.safetensors")))
        result = {
            "losses": probe.curves["loss"][1],
            "evaluations": probe.curves.get("watched", ((), ()))[1],
            "weights": {key: w.double().flatten().tolist() for key, w in weights.items() if not key.endswith(FREE)},
            "totals": probe.totals | {"padding_tokens": 0},
            "steps": [int(n) for n in probe.samples["responses"]],
            "flops": sum(probe.flops.values()),
            "resident": probe.resident,
            "facts": {name: fact for name, fact in probe.facts.items() if name.endswith("weights_sha256")},
        }
        (out / "result.json").write_text(json.dumps(result))


@torch.no_grad()
def loss_of(policy: Any) -> dict[str, float]:
    """Read the policy as a benchmark does during training: in the first process, while the others wait."""
    ids = torch.arange(3).repeat(2, 1)
    return {"watched": policy(input_ids=ids, labels=ids).loss.item()}


def interrupt(method: Any, job: Job, step: int) -> None:
    """Train for some steps and stop; the next training of the job resumes there."""
    set_seed(job.seed)
    probe = Probe(on_step=lambda probe: stop_request.request() if probe.totals["optimizer_steps"] == step else None)
    with suppress(stop_request.Interrupted):
        method.train(job, probe)
        raise AssertionError("the training did not stop")
    stop_request._requested = False


if __name__ == "__main__":
    if "RANK" in os.environ:
        processes.join("cpu")
    for case in json.loads(sys.argv[2]):
        train(Path(sys.argv[1]), *case, json.loads(sys.argv[3]))
    if "RANK" in os.environ:
        processes.leave()
