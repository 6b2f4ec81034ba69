"""Where the seconds of a training step go: the operators that take the most time, and the share of matrix products.

    python benchmarks/studies/profile_steps.py --prepared FOLDER [--methods ppo,kto] [--steps 2] [--out FILE]

FOLDER is a prepared folder of the suite `ladder` (a run's log names it). Each method trains its steps in a process of
its own, on one thread, with LoRA and the suite's settings, under `torch.profiler`, which makes short operators look
longer than they are. Time before the first step (model load, a reference pass) is in the profile, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from una_bench.machine import environment
from una_bench.suite import recipe as recipes

OUT = Path(__file__).parents[2] / "results" / "studies" / "profile_steps.json"
LINES = 10
ATTENTION = "aten::_scaled_dot_product_flash_attention_for_cpu"
PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", ATTENTION, f"{ATTENTION}_backward"}
"""Operators that are matrix products, or attention, which is made of them."""


def profiled(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Train ``name`` in this process; return its ten most expensive operators and its rates."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces import registry
    from una_bench.interfaces.method import Job

    torch.set_num_threads(1)
    torch.manual_seed(0)
    suite = recipes.load("ladder")
    own = {"kl_coef": 0.45, "num_mini_batches": 1, "value_adapters": True} if name == "ppo" else {}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            prepared=given.prepared, out=Path(folder), seed=0, batch_responses=suite.batch_responses,
            budget_steps=given.steps, max_prompt_length=64, max_new_tokens=24, precision="bfloat16", reward="true",
            lora=suite.lora,
        )  # fmt: skip
        fields = registry.method(name).model_fields
        shared = {key: value for key, value in suite.training.items() if key in fields}
        probe = Probe(facts={"precision": job.precision})
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            registry.method(name)(**shared | own).train(job, probe)
    times = sorted(((e.self_cpu_time_total / 1e6, e.key, e.count) for e in seen.key_averages()), reverse=True)
    total = sum(seconds for seconds, *_ in times)
    rates = {m.metric: m.samples[0] for m in registry.benchmark("compute")().read(probe)}
    return {
        "seconds": total,
        "products_share": sum(seconds for seconds, key, _ in times if key in PRODUCTS) / total,
        "utilization": rates.get("compute.utilization"),
        "top": [{"operator": k, "share": seconds / total, "calls": calls} for seconds, k, calls in times[:LINES]],
    }


def main() -> None:
    """Parse the command line and profile one method or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--methods", default="ppo,kto,dpo,una_pairwise,una_online")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print("RESULT " + json.dumps(profiled(given.one, given)))
        return
    quiet = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "OMP_NUM_THREADS": "1"}
    found = {}
    for name in given.methods.split(","):
        command = [sys.executable, __file__, "--one", name, "--prepared", str(given.prepared)]
        command += ["--steps", str(given.steps)]
        done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
        found[name] = json.loads(lines[-1].removeprefix("RESULT "))
    study = {
        "schema": 1,
        "kind": "profile",
        "steps": given.steps,
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "load_after": os.getloadavg()[0],
        "methods": found,
    }
    given.out.write_text(json.dumps(study, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
