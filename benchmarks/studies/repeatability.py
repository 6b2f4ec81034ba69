"""A/A test: spread of memory and speed over repeated trainings of the same cells of the exact suite.

    python benchmarks/studies/repeatability.py [--responses 16384] [--times 5] [--out FILE]

Cells run in rotation (A B C D A B C D ...), each in its own process, on an idle machine. Bounds on (maximum - minimum)
/ mean: memory 3 %, tokens per second 5 %. A machine with shared processors cannot meet the bound on tokens per second,
but should meet that on `pace`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from una_bench.interfaces import registry
from una_bench.machine import environment
from una_bench.orchestration import preparation, repeat
from una_bench.orchestration.process_pool import Pool
from una_bench.suite import plan, recipe

METHODS = ("dpo", "ppo", "una_score", "una_online")
BOUNDS = {"memory.peak": 0.03, "throughput.tokens_per_second": 0.05, "pace.step": 0.05}
OUT = Path(__file__).parents[2] / "results" / "studies" / "repeatability.json"


def cells(suite: plan.Plan, pool: Pool, scratch: Path) -> dict[str, dict[str, Any]]:
    """Return the first cell of each method, as a worker's specification."""
    prepared = preparation.ensure(suite, pool, log=scratch / "prepare.log", say=print)
    lengths = (int(prepared.manifest["max_prompt_length"]), int(prepared.manifest["max_new_tokens"]))
    specs = {}
    for cell in suite.cells:
        if cell.trains and cell.method not in specs:
            job = plan.job(suite, cell, prepared=prepared.path, out=scratch, device="cpu", lengths=lengths)
            facts = plan.job_facts(replace(job, lora=None))
            spec = repeat.spec(method=cell.method, settings=cell.settings, job=facts, prepared=prepared.path)
            specs[cell.method] = spec
    return specs


def study(responses: int, times: int) -> dict[str, Any]:
    """Train every method ``times`` times in rotation and return the spreads."""
    suite = plan.make(recipe.load("exact", [f"budget.responses={responses}"]), METHODS, [0])
    trainers = [module for name in METHODS for module in registry.method(name).preload]
    pool = Pool(workers=1, threads=1, listen=lambda *_: None, trainers=trainers)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        specs = cells(suite, pool, Path(scratch))
        trained: dict[str, list[Any]] = {name: [] for name in specs}
        for number in range(times):
            for name, cell in specs.items():
                trained[name] += repeat.train(pool, cell, 1, Path(scratch))
                print(
                    number,
                    name,
                    {k: float(f"{repeat.values(trained[name][-1])[k]:.4g}") for k in repeat.METRICS},
                    flush=True,
                )
    spreads = {name: repeat.spreads(parts) for name, parts in trained.items()}
    return {
        "schema": 1,
        "kind": "repeatability",
        "responses": responses,
        "load_before": load[0],
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "bounds": BOUNDS,
        "methods": {name: {m: s.to_json() for m, s in spread.items()} for name, spread in spreads.items()},
        "within_bounds": {
            name: {m: spread[m].range_share < bound for m, bound in BOUNDS.items()} for name, spread in spreads.items()
        },
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=16384)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    record = study(options.responses, options.times)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    for name, metrics in record["methods"].items():
        print(name, {m: f"{100 * s['range_share']:.2f} %" for m, s in metrics.items()}, record["within_bounds"][name])


if __name__ == "__main__":
    main()
