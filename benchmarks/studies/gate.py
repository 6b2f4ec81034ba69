"""A/A test of the gate: repeated runs of the suite `ci`, unchanged, each compared with the committed baseline.

    python benchmarks/studies/gate.py [--times 10] [--busy 2] [--baseline results/baselines/ci.json] [--out FILE]

Every second run competes with ``--busy`` computing processes, because CI machines are shared. The record holds the time
of each run, the gate's verdict and the position of each noisy figure within its limits. Claim: no regression in any
run; tests/gate/test_planted.py checks that planted regressions are detected.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from una_bench.gate import baseline, compare, figures
from una_bench.machine import environment
from una_bench.record import reader
from una_bench.record.schema import Status

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / "results" / "baselines" / "ci.json"
OUT = ROOT / "results" / "studies" / "gate.json"
SPIN = "while True: pass"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep ``processes`` processes computing."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def noisy(run: Path, expected: baseline.Baseline) -> dict[str, float]:
    """Return the ratio of each noisy figure of each cell to its baseline."""
    ratios = {}
    for record in reader.records(run):
        if record.status is Status.OK:
            for name, gauge in figures.gauges(record, ()).items():
                entry = expected.cells.get(record.cell, {}).get(name)
                if gauge.kind is figures.Kind.NOISY and entry is not None:
                    ratios[f"{record.cell} {name}"] = float(gauge.value) / float(entry.value)
    return ratios


def once(number: int, processes: int, expected: baseline.Baseline, scratch: Path) -> dict[str, Any]:
    """Run the suite, compare it with the baseline, and return the results."""
    run = scratch / f"run-{number}"
    # The installed script, as users run it: under `python -m`, workers import other modules before the memory baseline.
    script = Path(sys.executable).with_name("una-bench")
    command = [str(script), "run", expected.suite, "--out", str(run), "--quiet"]
    # A new cache: preparation is part of the suite's time, and must give the same bytes each time.
    environ = {**os.environ, "UNA_BENCH_CACHE": str(scratch / f"cache-{number}")}
    load, start = os.getloadavg()[0], time.monotonic()
    with busy(processes):
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    seconds = time.monotonic() - start
    verdicts = compare.check([run], expected)
    wrong = [f"{v.cell} {v.name}: {v.detail}" for v in compare.regressions(verdicts)]
    apart = sorted({v.detail for v in verdicts if v.outcome is compare.Outcome.NOT_COMPARED})
    better = [f"{v.cell} {v.name}: {v.detail}" for v in verdicts if v.outcome is compare.Outcome.IMPROVEMENT]
    print(number, f"{seconds:.0f} s, {len(wrong)} regressions, {len(better)} improvements", *wrong, *better, sep="\n  ")
    return {
        "seconds": seconds,
        "busy_processes": processes,
        "load_before": load,
        "regressions": wrong,
        "improvements": better,
        "not_compared": apart,
        "noisy_over_baseline": noisy(run, expected),
    }


def study(times: int, processes: int, name: str) -> dict[str, Any]:
    """Repeat the run, and return the record."""
    expected = baseline.read(name)
    with tempfile.TemporaryDirectory() as scratch:
        runs = [once(i, processes * (i % 2), expected, Path(scratch)) for i in range(times)]
    names = sorted({figure for run in runs for figure in run["noisy_over_baseline"]})
    seen = {n: [run["noisy_over_baseline"][n] for run in runs if n in run["noisy_over_baseline"]] for n in names}
    return {
        "schema": 1,
        "kind": "gate",
        "suite": expected.suite,
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "green": sum(not run["regressions"] for run in runs),
        "times": times,
        "longest_seconds": max(run["seconds"] for run in runs),
        "ranges": {n: [min(values), max(values)] for n, values in seen.items()},
        "runs": runs,
    }


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--baseline", default=str(BASELINE))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    record = study(options.times, options.busy, options.baseline)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['green']} of {record['times']} green, {record['longest_seconds']:.0f} s at most")
    raise SystemExit(record["green"] < record["times"])


if __name__ == "__main__":
    main()
