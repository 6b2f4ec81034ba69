"""Soak test: kills a small run at random moments with random signals, resumes it, and looks for losses.

    python benchmarks/studies/soak.py --kills 50 --out results/studies/soak.json

The expected results come from an undisturbed run of the same recipe. If a run ends before all kills are spent, it is
compared, and another starts in a fresh folder with a fresh cache, so that preparation is killed too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from soak_judge import UNSEEN, allowed, differences, facts, records

from una_bench import __version__
from una_bench.record.schema import Status

RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "soak",
    "problem": {"kind": "exact", "responses": 1024, "sft_steps": 60, "reward_model_steps": 30},
    "methods": ["all"],
    "seeds": [0],
    "training": {"beta": 0.5, "warmup_steps": 5},
    "settings": {
        "ppo": {"responses_per_rollout": 64, "num_mini_batches": 4, "num_ppo_epochs": 2},
        "una_online": {"responses_per_rollout": 64},
        "una_score": {"offset": "learned"},
        "una_binary": {"offset": "ema"},
    },
    "budget": {"responses": 3072},
    "batch_responses": 16,
    "benchmarks": {"memory": {}, "throughput": {}, "oracle": {}, "leaderboard": {}},
    "evaluate_points": 4,
    "workers": 2,
    "timeout_minutes": 10,
    "checkpoint_minutes": 0.02,
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
TARGETS = ("run", "group", "worker")
PATIENCE = 300.0
"""Seconds that a run may take to save after a signal."""


@dataclass
class Series:
    """One run folder with its cache, from its first start to its end."""

    folder: Path
    cells: int = 0
    """Cells of a complete run."""
    kills: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.folder / "run"

    def start(self) -> subprocess.Popen[str]:
        """Start or resume the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe = self.folder / "soak.yaml"
        recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
        command = [sys.executable, "-m", "una_bench", "run", str(recipe), "--out", str(self.run), "--retry", "failed"]
        environment = {**os.environ, "UNA_BENCH_CACHE": str(self.folder / "cache")}
        with (self.folder / "err.txt").open("w") as errors:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=errors,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def stage(self) -> str:
        """Return the apparent stage of the run."""
        if not (self.run / "run.json").exists():
            return "starting or preparing"
        if len(list(self.run.glob("cells/*/trained.json"))) < self.cells:
            return "starting or training"
        judged = len(list(self.run.glob("cells/*/evaluated.json")))
        return "starting or evaluating" if judged < self.cells else "reporting"

    def check_end(self, code: int, sent: Sequence[Mapping[str, Any]] = ()) -> None:
        """Record an exit status, or output, that no user should see after the signals ``sent``."""
        output = (self.folder / "err.txt").read_text(encoding="utf-8", errors="replace")
        for word in UNSEEN:
            if word in output:
                self.problems.append(f"'{word}' in the output after kill {len(self.kills)}: {output[-1500:]}")
        if code not in allowed(sent, output):
            self.problems.append(f"status {code} after kill {len(self.kills)}: {output[-500:]}")


def disturb(
    series: Series, process: subprocess.Popen[str], draw: random.Random, whole: float
) -> tuple[dict[str, Any], ...]:
    """Send random signals to random targets at random moments until the run ends; return those sent.

    Moments scale with ``whole``, the seconds of an undisturbed run, so that a slow machine also reaches every stage.
    """
    try:
        process.wait(timeout=draw.uniform(0.2, whole * draw.choice((0.05, 0.2, 0.5))))
        return ()
    except subprocess.TimeoutExpired:
        pass
    target, number = draw.choice(TARGETS), draw.choice(SIGNALS)
    stage = series.stage()
    workers = workers_of(process.pid)
    if target == "worker" and not workers:
        target = "run"
    if target == "worker":
        os.kill(draw.choice(workers), number)
    elif target == "group":
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    kill = {"signal": signal.Signals(number).name, "target": target, "stage": stage}
    series.kills.append(kill)
    if target == "worker":
        return kill, *disturb(series, process, draw, whole)
    process.wait(timeout=PATIENCE)
    return (kill,)


def workers_of(pid: int) -> list[int]:
    """Return the processes that train, prepare or evaluate: children of the fork server."""
    try:
        return [g.pid for child in psutil.Process(pid).children() for g in child.children()]
    except psutil.Error:
        return []


def compare(series: Series, expected: Series) -> None:
    """Record every difference between a disturbed run and the undisturbed one."""
    disturbed, undisturbed = records(series.run), records(expected.run)
    lines = [json.loads(line) for line in (series.run / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    whole = Counter(line["cell"] for line in lines if line["status"] == Status.OK)
    series.problems += [f"lost: {cell}" for cell in undisturbed.keys() - disturbed.keys()]
    series.problems += [f"doubled: {cell}" for cell, count in whole.items() if count > 1]
    for cell in undisturbed.keys() & disturbed.keys():
        mine, theirs = facts(series.run, disturbed[cell]), facts(expected.run, undisturbed[cell])
        series.problems += [f"{cell}: {line}" for line in differences(mine, theirs)]


def finish(series: Series) -> None:
    """Run to the end, without signals."""
    process = series.start()
    code = process.wait(timeout=1800)
    series.check_end(code)
    if code != 0:
        output = (series.folder / "err.txt").read_text(encoding="utf-8", errors="replace")
        series.problems.append(f"the last call ended with status {code}: {output[-1500:]}")


def soak(folder: Path, *, kills: int, seed: int, before: str) -> dict[str, Any]:
    """Send ``kills`` signals and return the summary."""
    draw = random.Random(seed)
    started = time.monotonic()
    expected = Series(folder / "undisturbed")
    finish(expected)
    undisturbed = time.monotonic() - started
    cells = len(records(expected.run))
    all_series = [Series(folder / "series-0", cells)]
    while sum(len(s.kills) for s in all_series) < kills:
        series = all_series[-1]
        if before:
            subprocess.run(["sh", "-c", before], check=True)
        process = series.start()
        sent = disturb(series, process, draw, undisturbed)
        series.check_end(process.returncode, sent)
        if process.returncode == 0:
            compare(series, expected)
            all_series.append(Series(folder / f"series-{len(all_series)}", cells))
        spent = sum(len(s.kills) for s in all_series)
        print(f"{spent} of {kills} kills, {len(all_series)} runs, {time.monotonic() - started:.0f} s", flush=True)
    finish(all_series[-1])
    compare(all_series[-1], expected)
    return summary(all_series, expected, {"undisturbed": undisturbed, "all": time.monotonic() - started})


def summary(all_series: list[Series], expected: Series, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the summary to write."""
    every = [kill for series in all_series for kill in series.kills]
    ended = [r for series in all_series for r in records(series.run).values()]
    problems = [problem for series in [expected, *all_series] for problem in series.problems]
    return {
        "una_bench": __version__,
        "kills": len(every),
        "by_signal": dict(Counter(k["signal"] for k in every)),
        "by_target": dict(Counter(k["target"] for k in every)),
        "by_stage": dict(Counter(k["stage"] for k in every)),
        "runs": len(all_series),
        "cells_a_run": len(records(expected.run)),
        "cells_compared": len(ended),
        "cells_resumed_from_a_state": sum(bool(r.facts.get("resumed")) for r in ended),
        "records_lost": sum(p.startswith("lost") for p in problems),
        "records_doubled": sum(p.startswith("doubled") for p in problems),
        "cells_that_differ": len({p.partition(":")[0] for p in problems if " differs" in p}),
        "problems": problems,
        "seconds": {name: round(value) for name, value in seconds.items()},
    }


def main() -> int:
    """Run, write the summary, and return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/studies/soak.json"))
    parser.add_argument("--folder", type=Path, help="Folder of the runs; default: a temporary folder.")
    parser.add_argument("--before", default="", help="Shell command to run before each start.")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    with tempfile.TemporaryDirectory() as temporary:
        result = soak(given.folder or Path(temporary), kills=given.kills, seed=given.seed, before=given.before)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
