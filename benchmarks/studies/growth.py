"""Growth with the number of cells: what reading 1,000 records costs, and the harness's work for each cell of a run.

    python benchmarks/studies/growth.py [--records 1000] [--cells 30,300] [--times 3] [--out FILE]

The records are those of a kept run in today's format, repeated with other seeds; CPU seconds and peak memory of a
command are the median of ``--times`` calls. The runs train a method that learns nothing, on two workers: all their time
is the harness's. Goals: a record below 15 kB, `report` below 5 CPU seconds, `compare` and `leaderboard` below 2, and
as much time for each of 300 cells as for each of 30 (or of 1,000 as of 100, where the machine has the time).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal

import yaml

from una_bench.instruments.probe import Probe
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.interfaces.problem import Problem
from una_bench.machine import environment
from una_bench.record import line, reader
from una_bench.record.schema import Better, Measurement

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "results" / "exact"
OUT = ROOT / "results" / "studies" / "growth.json"
COMMANDS = ("report", "compare", "leaderboard")
POINTS = """
[una_bench.problems]
nothing = growth:NothingToLearn
[una_bench.benchmarks]
zero = growth:Zero
[una_bench.methods]
nothing = growth:Nothing
"""
RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "nothing",
    "problem": {"kind": "nothing"},
    "methods": ["nothing"],
    "budget": {"responses": 24},
    "batch_responses": 8,
    "benchmarks": {"memory": {}, "throughput": {}, "zero": {}},
    "workers": 2,
}


class NothingToLearn(Problem):
    """A problem without data."""

    about: ClassVar[str] = "nothing"
    kind: Literal["nothing"] = "nothing"

    def prepare(self, out: Path, say: Callable[[str], None]) -> None:
        """Write the manifest alone."""
        facts = {"kind": "nothing", "settings": self.model_dump(), "max_prompt_length": 2, "max_new_tokens": 4}
        (out / "manifest.json").write_text(json.dumps({**facts, "counts": {}, "hashes": {}}))


class Nothing(Method):
    """A method of three steps that do nothing."""

    label = "Nothing"
    feedback = Feedback.SCORE
    paper = "none"

    def train(self, job: Job, probe: Probe) -> Path:
        """Count three steps."""
        for step in range(3):
            probe.begin_step()
            probe.count(responses=8, prompt_tokens=8, response_tokens=16, optimizer_steps=1)
            probe.end_step()
            probe.observe({"loss": 1.0 / (step + 1)})
        (job.out / "checkpoint").mkdir()
        return job.out / "checkpoint"


class Zero(Benchmark):
    """A benchmark that measures nothing."""

    label = "Zero"
    about = "zero"

    def evaluate(self, checkpoint: Checkpoint) -> list[Measurement]:
        """Return zero."""
        return [Measurement.one("zero", "1", Better.HIGHER, 0.0, "not measured")]


def write_records(kept: Path, count: int, run: Path) -> list[int]:
    """Write ``count`` records of ``kept``, repeated with other seeds, to the folder ``run``; return their sizes."""
    run.mkdir(parents=True)
    (run / "run.json").write_bytes((kept / "run.json").read_bytes())
    contents = [json.loads(line.dump(record)) for record in reader.records(kept)]
    seeds = 1 + max(content["seed"] for content in contents)
    lines = []
    for i in range(count):
        content = contents[i % len(contents)]
        seed = content["seed"] + seeds * (i // len(contents))
        cell = f"{content['cell'].rpartition('-s')[0]}-s{seed}"
        one = {**content, "cell": cell, "seed": seed, "key": f"{i:016x}"}
        lines.append(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n")
    (run / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    return [len(text.encode()) for text in lines]


def call(arguments: Sequence[str], environ: dict[str, str] | None = None) -> dict[str, float]:
    """Run a command of una-bench; return its seconds, CPU seconds and peak memory, without those of its workers."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "una_bench", *arguments], env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"una-bench {' '.join(arguments)} ended with status {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def read(run: Path, times: int) -> dict[str, dict[str, float]]:
    """Return the median CPU seconds and peak memory of each command that reads ``run``."""
    calls = {name: [call([name, str(run)]) for _ in range(times)] for name in COMMANDS}
    return {
        name: {key: median(each[key] for each in every) for key in ("cpu_seconds", "peak_bytes")}
        for name, every in calls.items()
    }


def run_cells(count: int, scratch: Path) -> dict[str, float]:
    """Run ``count`` cells that do nothing; return the time, and the CPU time of the steering process, for each."""
    about = scratch / "plugin" / "nothing-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    recipe, run = scratch / "nothing.yaml", scratch / f"run-{count}"
    recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    places = os.pathsep.join([str(about.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": places, "UNA_BENCH_CACHE": str(scratch / "cache")}
    used = call(["run", str(recipe), "--seeds", f"0-{count - 1}", "--out", str(run), "--quiet"], environ)
    once = reader.run_info(run)["time"]["once_seconds"]
    return {
        "seconds_a_cell": (used["seconds"] - once) / count,
        "steering_cpu_seconds_a_cell": used["cpu_seconds"] / count,
        "steering_peak_bytes": used["peak_bytes"],
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--cells", default="30,300")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sizes = write_records(KEPT, given.records, scratch / "records")
        study = {
            "schema": 1,
            "kind": "growth",
            "records": given.records,
            "record_bytes": {"mean": sum(sizes) / len(sizes), "largest": max(sizes)},
            "reading": read(scratch / "records", given.times),
            "running": {count: run_cells(int(count), scratch) for count in given.cells.split(",")},
            "load_before": load,
            "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        }
    given.out.write_text(json.dumps(study, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
