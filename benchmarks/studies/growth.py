"""Growth of una-bench's own work with the number of cells: a run whose cells do nothing, and 1,000 records read.

    python benchmarks/studies/growth.py [--out FILE]

The cells of the run end at once with the result of a trained cell of ``results/exact``, so what is left is planning,
writing results and records, and reading them. All times are CPU seconds, system calls included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from una_bench.machine import environment
from una_bench.orchestration import engines
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.orchestration.run_folder import RunFolder
from una_bench.orchestration.runner import Options, Runner
from una_bench.record import line, reader, storage
from una_bench.record.schema import Record, Status
from una_bench.suite import plan, recipe

ROOT = Path(__file__).parents[2]
EXACT = ROOT / "results" / "exact"
OUT = ROOT / "results" / "studies" / "growth.json"
CELLS = (100, 1000)
COMMANDS = ("report", "compare", "leaderboard")


class Idle(Pool):
    """Pool whose trainings end at once, each with the result of ``example``."""

    example: Record

    def run(self, tasks: list[Task], done: Callable[[Outcome], None]) -> None:
        """Write what a worker would have written."""
        if tasks and tasks[0].kind == "prepare":
            super().run(tasks, done)
            return
        for task in tasks:
            for spec in [task.spec] if task.kind == "train" else task.spec["cells"]:
                self._write(task.kind, spec)
            done(Outcome(task=task, status=Status.OK, result={"seconds": 1.0}))

    def _write(self, kind: str, spec: Any) -> None:
        content = line.plain(self.example)
        result = {"key": spec["key"], "code": spec["code"], "facts": {}, "seconds": 1.0}
        if kind == "train":
            parts = ("environment", "curves", "steps", "phase_seconds", "measurements")
            result |= {"checkpoint": "", **{part: content[part] for part in parts}}
        else:
            result["measurements"] = []
        name = "trained.json" if kind == "train" else "evaluated.json"
        storage.write_json(Path(spec["out"]) / name, result)


def run(cells: int, folder: Path) -> float:
    """Return the CPU seconds of a run of the suite ``exact`` with that many cells of DPO."""
    Idle.example = next(r for r in reader.records(EXACT) if r.method == "dpo")
    with mock.patch.object(engines, "Pool", Idle):
        began = time.process_time()
        planned = plan.make(recipe.load("exact"), methods=["dpo"], seeds=list(range(cells)))
        finished = Runner(planned, RunFolder(folder), Options(quiet=True)).run()
        spent = time.process_time() - began
    assert len(finished.records) == cells + 1 and not finished.failed
    return spent


def read(command: str, folder: Path) -> float:
    """Return the CPU seconds of one command of una-bench."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "una_bench", command, str(folder)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def thousand(folder: Path) -> int:
    """Write 1,000 records, those of ``results/exact`` with other seeds, and return the bytes of their file."""
    folder.mkdir()
    (folder / "run.json").write_bytes((EXACT / "run.json").read_bytes())
    originals = [r for r in reader.records(EXACT) if r.method != "base"]
    for number in range(1000):
        one, times = originals[number % len(originals)], number // len(originals)
        seed = one.seed + 3 * times
        changed = {"seed": seed, "cell": f"{one.cell.rpartition('-s')[0]}-s{seed}", "key": f"{one.key[:10]}{times:06d}"}
        with (folder / "records.jsonl").open("a", encoding="utf-8") as file:
            file.write(line.dump(one.model_copy(update=changed)) + "\n")
    return (folder / "records.jsonl").stat().st_size


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as work:
        run(1, Path(work) / "first")  # imports, and the preparation of the suite
        per_cell = {str(n): run(n, Path(work) / str(n)) / n for n in CELLS}
        size = thousand(Path(work) / "records")
        seconds = {command: read(command, Path(work) / "records") for command in COMMANDS}
    result = {
        "study": "growth",
        "run_cpu_seconds_per_cell": per_cell,
        "records": 1000,
        "bytes_per_record": size / 1000,
        "bytes_per_record_in_format_1": (EXACT / "records.jsonl").stat().st_size / len(reader.records(EXACT)),
        "cpu_seconds": seconds,
        "load": os.getloadavg()[0],
        "environment": environment.describe("cpu"),
    }
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))
    storage.write_text(out, json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
