"""UNA-pairwise with and without packs, and TRL's DPO at its best settings, on the same pairs in turn.

    python benchmarks/studies/engine.py --prepared FOLDER [--repetitions 3] [--steps 3] [--precision bfloat16]

FOLDER is a prepared folder of the suite ``smollm2`` (a run's log names it). The pairs are the suite's first ones, and
the same with prompts and responses of 64 tokens. Each measurement is a fresh process with one thread: time of the steps
after the first, peak resident memory of training above the imports, and the share of the machine's matrix-product
peak. DPO has a precomputed reference and rows grouped by length, UNA has both too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONTESTANTS = ("dpo", "una_rows", "una_packs")
LENGTH = 64
"""Tokens of each prompt and response of the pairs of equal lengths."""
METRICS = ("seconds", "cpu_seconds", "peak_bytes")
GOALS = {("equal", "seconds"): 1.6, ("suite", "seconds"): 1.3, ("equal", "peak_bytes"): 2.0, ("suite", "peak_bytes"): 2}


def prepared_of(source: Path, pairs: str, count: int, folder: Path) -> Path:
    """Return a copy of ``source`` in ``folder`` with ``count`` pairs, or with texts of `LENGTH` tokens."""
    import pandas as pd

    out = folder / "prepared"
    out.mkdir()
    for file in source.iterdir():
        (out / file.name).symlink_to(file)
    table = pd.read_parquet(source / "responses.parquet").head(2 * count)
    for column in ("prompt_ids", "completion_ids") if pairs == "equal" else ():
        table[column] = [(list(ids) * LENGTH)[:LENGTH] for ids in table[column]]
    (out / "responses.parquet").unlink()
    table.to_parquet(out / "responses.parquet")
    return out


def measure(name: str, pairs: str, given: argparse.Namespace) -> dict[str, float]:
    """Train ``name`` in this process."""
    import torch

    from una_bench.instruments.probe import Probe
    from una_bench.interfaces import prepared, registry
    from una_bench.interfaces.method import Job, Lora
    from una_bench.training.una import records, train_offline

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shared = {"learning_rate": 1e-4, "group_by_length": True}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = Job(
            prepared=prepared_of(given.prepared, pairs, 4 * (given.steps + 1), folder), out=folder / "out",
            seed=0, batch_responses=8,
            budget_steps=given.steps + 1, max_prompt_length=128, max_new_tokens=128, precision=given.precision,
            lora=Lora(r=16, lora_alpha=32, target_modules="all-linear"),
        )  # fmt: skip
        job.out.mkdir()
        probe = Probe(warmup=1, facts={"precision": given.precision})
        if name == "dpo":
            registry.method("dpo")(precompute_ref_log_probs=True, **shared).train(job, probe)
        else:
            method, packs = registry.method("una_pairwise")(**shared), name == "una_packs"
            rows = lambda table: records(prepared.pairs(table))  # noqa: E731
            train_offline(method, job, probe, rows, responses_per_row=2, share_prompts=packs)
    measured = {m.metric: m.samples[0] for m in registry.benchmark("compute")().read(probe)}
    parts = {f"{phase}_seconds": probe.peaks[phase].seconds for phase in ("reference", "forward", "backward")}
    return {
        "seconds": statistics.fmean(probe.samples["seconds"][1:]),
        "cpu_seconds": statistics.fmean(probe.samples["cpu_seconds"][1:]),
        "peak_bytes": probe.peak_bytes,
        "tokens": sum(probe.totals[key] for key in ("prompt_tokens", "response_tokens")),
        "padding_tokens": probe.totals["padding_tokens"],
        "flops_per_token": measured["compute.flops_per_token"],
        "utilization": measured["compute.utilization"],
        "last_loss": probe.trace.curves["loss"][1][-1],
        **parts,
    }


def in_fresh_process(name: str, pairs: str, given: argparse.Namespace) -> dict[str, float]:
    """Run `measure` in a fresh process."""
    command = [sys.executable, __file__, "--one", f"{name}@{pairs}", "--prepared", str(given.prepared)]
    command += ["--steps", str(given.steps), "--precision", given.precision]
    quiet = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def compare(samples: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return the ratios of DPO and of separate rows to packs, with their range over repetitions."""
    out = []
    for pairs in ("equal", "suite"):
        below = samples[f"una_packs@{pairs}"]
        for name in ("dpo", "una_rows"):
            for metric in METRICS:
                ratios = [a[metric] / b[metric] for a, b in zip(samples[f"{name}@{pairs}"], below, strict=True)]
                goal = GOALS.get((pairs, metric)) if name == "dpo" else None
                line = {"pairs": pairs, "metric": metric, "ratio_of": f"{name} / una_packs"}
                spread = {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
                out.append(line | spread | {"wanted": goal})
    return out


def main() -> None:
    """Parse the command line and run one measurement or the study."""
    from una_bench.machine import hardware

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="measured steps, after one that is not")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--out", type=Path, default=Path("results/studies/engine.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print("RESULT " + json.dumps(measure(*given.one.split("@"), given)))
        return
    where = {"processor": hardware.processor().get("model name", ""), "cores": os.cpu_count()}
    samples: dict[str, list[dict[str, float]]] = {f"{n}@{p}": [] for p in ("equal", "suite") for n in CONTESTANTS}
    loads = []
    for repetition in range(given.repetitions):
        for key, kept in samples.items():
            loads.append(os.getloadavg()[0])
            kept.append(in_fresh_process(*key.split("@"), given))
            print(f"{repetition + 1}/{given.repetitions} {key}: {kept[-1]}", file=sys.stderr, flush=True)
    record = {"study": "engine", "environment": where | {"loads": loads}, "precision": given.precision,
              "steps": given.steps, "comparisons": compare(samples), "samples": samples}  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    for line in record["comparisons"]:
        print(f"{line['pairs']:6s} {line['metric']:12s} {line['ratio_of']:22s} {line['median']:5.2f}"
              f" [{line['lowest']:.2f}, {line['highest']:.2f}]  wanted {line['wanted']}")  # fmt: skip


if __name__ == "__main__":
    main()
