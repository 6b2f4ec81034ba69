"""Overhead of the instruments: each method trains on the exact suite, in one process, with them on and off alternately.

    python benchmarks/studies/instruments.py [--rounds N] [--out FILE]

Steps run in blocks; every second block has phases, counts, operations and step clocks off. Each pair of blocks gives
one ratio of times, so drift of the machine cancels. Bound: 2 % of a step's processor time (system calls included),
which other load affects less than wall time; both are recorded. The Python calls of the wrappers, a microsecond each,
stay on in both.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy.stats import binom

from una_bench.orchestration import process_environment

BLOCKS = {"dpo": 4, "una_score": 4, "una_online": 16, "ppo": 1}
"""Steps per block: una_online has one rollout in 16 steps, a step of PPO is a whole update."""
ROUNDS = {"dpo": 100, "una_score": 100, "una_online": 40, "ppo": 24}
"""Pairs of blocks: enough for intervals of one or two percent on a machine with other load."""
STEPS_OF = {"ppo": 16}
"""Optimizer steps per step of the probe."""
BOUND = 0.02
OUT = Path(__file__).parents[2] / "results" / "studies" / "instruments.json"


def switching_probe(block: int) -> Any:
    """Return a probe that is off in every second block of steps and records the wall time of all."""
    from una_bench.instruments.probe import Probe

    class Switching(Probe):
        on = True
        number = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            self.times: list[float] = []
            self.cpu_times: list[float] = []

        def phase(self, name: str) -> AbstractContextManager[None]:
            return super().phase(name) if self.on else nullcontext()

        def count(self, **counts: int) -> None:
            if self.on:
                super().count(**counts)

        def add_flops(self, name: str, operations: float) -> None:
            if self.on:
                super().add_flops(name, operations)

        def begin_step(self) -> None:
            self.on = self.number // block % 2 == 0
            self.began, self.cpu_began = time.perf_counter(), time.process_time()
            if self.on:
                super().begin_step()

        def end_step(self) -> None:
            if self.on:
                super().end_step()
            self.times.append(time.perf_counter() - self.began)
            self.cpu_times.append(time.process_time() - self.cpu_began)
            self.number += 1
            self.on = True

        def check(self, policy: Any) -> None:
            return

    return Switching()


def measure(name: str, settings: dict[str, Any], job: Any, rounds: int) -> dict[str, Any]:
    """Train one method for ``rounds`` pairs of blocks after one pair of warm-up."""
    import torch
    from transformers import set_seed

    from una_bench.interfaces import registry
    from una_bench.training import common
    from una_bench.worker import first_touch

    torch.set_num_threads(1)  # as in a cell
    first_touch.touch_code()
    block = BLOCKS[name]
    probe = switching_probe(block)
    original = common.instrument
    common.instrument = lambda trainer, probe, tally, budget, **how: original(
        trainer, probe, lambda batch: tally(batch) if probe.on else {}, budget, **how
    )
    try:
        set_seed(0)
        registry.method(name)(**settings).train(job, probe)
    finally:
        common.instrument = original
    wall, cpu = compared(probe.times, block, rounds), compared(probe.cpu_times, block, rounds)
    return {"block_steps": block, "wall": wall, "cpu": cpu, "within_bound": cpu["share_median"] < BOUND}


def compared(times: list[float], block: int, rounds: int) -> dict[str, Any]:
    """Return the step times with the instruments on and off, and the overhead with its 95 % interval."""
    blocks = [sum(times[i : i + block]) for i in range(0, len(times), block)]
    on, off = blocks[2::2], blocks[3::2]
    pairs = list(zip(on, off, strict=False))[:rounds]
    # Neighbors on both sides of an "off" block, so that a steady drift cancels.
    shares = sorted((a + c) / (2 * b) - 1 for (a, b), (c, _) in pairwise(pairs))
    # Interval of the median from order statistics, because blocks disturbed by other load are far outliers.
    low, high = (int(q) for q in binom.ppf((0.025, 0.975), len(shares), 0.5))
    return {
        "on_seconds_per_step": statistics.median(a for a, _ in pairs) / block,
        "off_seconds_per_step": statistics.median(b for _, b in pairs) / block,
        "share_median": statistics.median(shares),
        "share_median_95": [shares[low], shares[min(high, len(shares) - 1)]],
        "shares": shares,
    }


def study(every: int | None) -> dict[str, Any]:
    """Measure every method on the exact suite, each in a fresh fork as cells are, for ``every`` or its own rounds."""
    from una_bench.interfaces import registry
    from una_bench.machine import environment
    from una_bench.orchestration import preparation
    from una_bench.orchestration.process_pool import Pool
    from una_bench.suite import plan, recipe
    from una_bench.worker import preload

    for module in (*preload.COMMON, *(m for name in BLOCKS for m in registry.method(name).preload)):
        import_module(module)
    gc.collect()
    gc.freeze()
    load = os.getloadavg()[0]
    overheads = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, block in BLOCKS.items():
            rounds = every or ROUNDS[name]
            steps = (2 * rounds + 3) * block * STEPS_OF.get(name, 1)
            suite = plan.make(recipe.load("exact", [f"budget.responses={steps * 64}"]), [name], [0])
            pool = Pool(workers=1, threads=1, listen=lambda *_: None)
            prepared = preparation.ensure(suite, pool, log=Path(scratch) / "log", say=print)
            lengths = (int(prepared.manifest["max_prompt_length"]), int(prepared.manifest["max_new_tokens"]))
            cell = next(c for c in suite.cells if c.trains)
            out = Path(scratch) / name
            out.mkdir()
            job = plan.job(suite, cell, prepared=prepared.path, out=out, device="cpu", lengths=lengths)
            with multiprocessing.get_context("fork").Pool(1) as fresh:
                overheads[name] = fresh.apply(measure, (name, cell.settings, job, rounds))
            cpu = overheads[name]["cpu"]
            print(name, {k: cpu[k] for k in ("on_seconds_per_step", "share_median", "share_median_95")})
    return {
        "schema": 1,
        "kind": "instruments",
        "bound": BOUND,
        "load_before": load,
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "methods": overheads,
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="pairs of blocks per method; default: by method")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if process_environment.MALLOC not in os.environ.get("GLIBC_TUNABLES", ""):
        os.execve(
            sys.executable, sys.orig_argv, {**os.environ, **process_environment.for_workers(1), "UNA_BENCH_WARM": ""}
        )
    record = study(options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
