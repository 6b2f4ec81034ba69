"""A/A: the same cells of the exact suite trained again and again, and how far memory and speed spread.

    python benchmarks/studies/repeatability.py [--responses 16384] [--times 5] [--out FILE]

Cells run one after the other in turn (A B C D A B C D ...), each in a process of its own, on a machine with nothing
else to do. Bounds, largest minus smallest over the mean: memory within 3 %, tokens per second within 5 %. On a machine
that shares its processors with others tokens per second cannot hold theirs; steps in yardsticks (`pace`) are to.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from una_bench.machine import environment
from una_bench.orchestration import preparation, repeat
from una_bench.orchestration.process_pool import Pool
from una_bench.suite import plan, recipe

METHODS = ("dpo", "ppo", "una_score", "una_online")
BOUNDS = {"memory.peak": 0.03, "throughput.tokens_per_second": 0.05, "pace.step": 0.05}
OUT = Path(__file__).parents[2] / "results" / "studies" / "repeatability.json"


def cells(made: plan.Plan, pool: Pool, scratch: Path) -> dict[str, dict[str, Any]]:
    """Return the first cell of each method, as a worker takes it."""
    prepared = preparation.ensure(made, pool, log=scratch / "prepare.log", say=print)
    lengths = (int(prepared.manifest["max_prompt_length"]), int(prepared.manifest["max_new_tokens"]))
    found = {}
    for cell in made.cells:
        if cell.trains and cell.method not in found:
            job = plan.job(made, cell, prepared=prepared.path, out=scratch, device="cpu", lengths=lengths)
            facts = plan.job_facts(replace(job, lora=None))
            spec = repeat.spec(method=cell.method, settings=cell.settings, job=facts, prepared=prepared.path)
            found[cell.method] = spec
    return found


def study(responses: int, times: int) -> dict[str, Any]:
    """Train every method ``times`` times in turn and return the spreads."""
    made = plan.make(recipe.load("exact", [f"budget.responses={responses}"]), METHODS, [0])
    pool = Pool(workers=1, threads=1, listen=lambda *_: None)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        found = cells(made, pool, Path(scratch))
        trained: dict[str, list[Any]] = {name: [] for name in found}
        for number in range(times):
            for name, cell in found.items():
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
        "methods": {name: {m: s.to_json() for m, s in found.items()} for name, found in spreads.items()},
        "within_bounds": {
            name: {m: found[m].range_share < bound for m, bound in BOUNDS.items()} for name, found in spreads.items()
        },
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=16384)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found = study(options.responses, options.times)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, metrics in found["methods"].items():
        print(name, {m: f"{100 * s['range_share']:.2f} %" for m, s in metrics.items()}, found["within_bounds"][name])


if __name__ == "__main__":
    main()
