"""Speed and memory of UNA and TRL 1.12 on equal work, alternating, each measurement in a fresh process.

    python benchmarks/studies/una_vs_trl.py                      # time and memory; run it on a quiet machine
    python benchmarks/studies/una_vs_trl.py --large --steps 1 --warmup 1    # memory at a vocabulary of 49,152
    python benchmarks/studies/una_vs_trl.py --repetitions 1 --steps 2 --only una_score,dpo --out /dev/null

A step is an optimizer step offline, and a rollout with all its training online. Time is that of steps after warm-up;
memory is the peak resident memory during training, above that with all models loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

LARGE = ("una_score", "una_pairwise", "dpo", "una_online+1", "ppo4")
"""Contestants of the comparison at the large vocabulary."""
SMALL_VOCABULARY, LARGE_VOCABULARY = 2048, 49_152
CLAIMS = (
    ("offline step, DPO / UNA-score", "seconds", "dpo", "una_score", SMALL_VOCABULARY, 1.0),
    ("offline step, DPO / UNA-pairwise", "seconds", "dpo", "una_pairwise", SMALL_VOCABULARY, 1.0),
    ("offline step, KTO / UNA-score", "seconds", "kto", "una_score", SMALL_VOCABULARY, 1.6),
    ("online step, PPO at defaults / UNA", "seconds", "ppo4", "una_online+1", SMALL_VOCABULARY, 3.5),
    ("online step, PPO of one epoch / UNA", "seconds", "ppo1", "una_online+1", SMALL_VOCABULARY, 1.8),
    ("online step, RLOO / UNA", "seconds", "rloo", "una_online+1", SMALL_VOCABULARY, 1.0),
    ("online step, Online DPO / UNA", "seconds", "online_dpo", "una_online+1", SMALL_VOCABULARY, 1.0),
    ("memory, DPO / UNA-score", "peak_bytes", "dpo", "una_score", LARGE_VOCABULARY, 1 / 0.8),
    ("memory, DPO / UNA-pairwise", "peak_bytes", "dpo", "una_pairwise", LARGE_VOCABULARY, 1 / 0.8),
    ("memory, PPO / UNA-online, small vocabulary", "peak_bytes", "ppo4", "una_online+1", SMALL_VOCABULARY, 2.0),
    ("memory, PPO / UNA-online, large vocabulary", "peak_bytes", "ppo4", "una_online+1", LARGE_VOCABULARY, 2.0),
)
"""Description, metric, numerator, denominator, vocabulary, minimum ratio."""


def resident(key: str) -> int:
    """Return ``VmRSS`` or ``VmHWM`` of this process, bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key + ":"))
    return int(line.split()[1]) * 1024


def measure(name: str, vocabulary: int, steps: int, warmup: int) -> dict[str, Any]:
    """Train ``name`` in this process."""
    import torch
    from transformers import TrainerCallback
    from una_vs_trl_contestants import ONLINE, offline, online

    marks: list[tuple[float, float]] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append((time.perf_counter(), time.process_time()))

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = (online if name in ONLINE else offline)(name, vocabulary, steps + warmup, folder)
        trainer.add_callback(Clock())
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        trainer.train()
        peak = resident("VmHWM") - before
    per_step = len(marks) // (steps + warmup)
    wall, cpu = (marks[-1][i] - marks[warmup * per_step - 1][i] for i in (0, 1))
    return {"seconds": wall / steps, "cpu_seconds": cpu / steps, "peak_bytes": peak}


def in_fresh_process(name: str, vocabulary: int, steps: int, warmup: int) -> dict[str, float]:
    """Run `measure` in a fresh process."""
    sizes = ["--steps", str(steps), "--warmup", str(warmup), "--vocabulary", str(vocabulary)]
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name, *sizes]
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def run(names: list[tuple[str, int]], repetitions: int, steps: int, warmup: int) -> dict[str, dict[str, list[float]]]:
    """Measure all contestants once, then all again, so that drift of the machine affects them equally."""
    samples: dict[str, dict[str, list[float]]] = {}
    for repetition in range(repetitions):
        for name, vocabulary in names:
            result = in_fresh_process(name, vocabulary, steps, warmup)
            kept = samples.setdefault(f"{name}@{vocabulary}", {key: [] for key in result})
            for key, value in result.items():
                kept[key].append(value)
            print(f"{repetition + 1}/{repetitions} {name}@{vocabulary}: {result}", file=sys.stderr, flush=True)
    return samples


def compare(samples: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Return the ratio of medians of each claim, with the range of ratios over repetitions."""
    out = []
    for what, metric, above, below, vocabulary, target in CLAIMS:
        first, second = (samples.get(f"{name}@{vocabulary}", {}).get(metric) for name in (above, below))
        if first and second:
            ratio = statistics.median(first) / statistics.median(second)
            each = [a / b for a, b in zip(first, second, strict=True)]
            line = {"what": what, "ratio": ratio, "lowest": min(each), "highest": max(each), "wanted": target,
                    "met": ratio >= target}  # fmt: skip
            if metric == "seconds":  # less affected by other load
                cpu = (samples[f"{name}@{vocabulary}"]["cpu_seconds"] for name in (above, below))
                line["cpu_ratio"] = statistics.median(next(cpu)) / statistics.median(next(cpu))
            out.append(line)
    return out


def environment() -> dict[str, Any]:
    """Return the machine and versions that the numbers depend on."""
    from una_bench.machine import hardware

    return {
        "python": platform.python_version(),
        "processor": hardware.processor().get("model name", ""),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load_at_start": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "accelerate", "una-bench")},
    }


def contestants(only: Collection[str], *, large: bool) -> list[tuple[str, int]]:
    """Return the names and vocabularies of the contestants to measure."""
    from una_vs_trl_contestants import OFFLINE, ONLINE

    names, vocabulary = (LARGE, LARGE_VOCABULARY) if large else ((*OFFLINE, *ONLINE), SMALL_VOCABULARY)
    return [(name, vocabulary) for name in names if not only or name in only]


def main() -> None:
    """Parse the command line and run one measurement or the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warmup", type=int, default=2, help="steps before measurement")
    parser.add_argument("--only", default="", help="contestants, comma-separated")
    parser.add_argument("--large", action="store_true", help="the large vocabulary, for memory")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--vocabulary", type=int, default=SMALL_VOCABULARY, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.simplefilter("ignore")
        print("RESULT " + json.dumps(measure(given.one, given.vocabulary, given.steps, given.warmup)))
        return
    names = contestants(given.only.split(",") if given.only else (), large=given.large)
    out = given.out or Path(f"results/studies/una_vs_trl{'_large' if given.large else ''}.json")
    where = environment()
    samples = run(names, given.repetitions, given.steps, given.warmup)
    record = {"study": "una_vs_trl", "environment": where, "steps": given.steps, "warmup_steps": given.warmup,
              "comparisons": compare(samples), "samples": samples}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    for line in record["comparisons"]:
        print(f"{line['what']:45s} {line['ratio']:6.2f} [{line['lowest']:.2f}, {line['highest']:.2f}]"
              f"  target {line['wanted']:.2f}  {'met' if line['met'] else 'NOT MET'}")  # fmt: skip


if __name__ == "__main__":
    main()
