"""Effect of bfloat16 evaluation on scores, log-likelihoods and speed of one model.

    python benchmarks/studies/bfloat16_evaluation.py --limit 1 --hub HUB [--tasks leaderboard-v1] [--out FILE]

The leaderboard benchmark evaluates the same documents twice, each time in a fresh process with an empty cache and one
thread: in float32 and in bfloat16. ``--hub`` is a filled HF_HOME, used instead of the network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lm_eval_sides as sides
from lm_eval_answers import Answers, compare, verdict
from lm_eval_commands import not_run

from una_bench.machine import environment
from una_bench.models import catalog

OUT = Path(__file__).parents[2] / "results" / "studies" / "bfloat16_evaluation.json"
PRECISIONS = ("float32", "bfloat16")


def evaluate(given: argparse.Namespace, folder: Path, precision: str) -> tuple[sides.Spent, sides.Evaluated]:
    """Evaluate the policy in a fresh process, and return the time of the process and of the evaluation."""
    settings = {key: getattr(given, key) for key in ("tasks", "limit", "limit_per", "batch_size")}
    work = {
        "do": "ours",
        "prepared": str(folder / "prepared"),
        "checkpoints": {sides.BASE: str(folder / "prepared" / "policy")},
        "settings": settings | {"precision": precision, "keep_results": False},
        "out": str(folder / precision),
    }
    spent = sides.script(work, sides.environment_variables(given.hub), folder / f"{precision}.log")
    [facts] = sides.evaluated(folder / precision)
    return spent, facts


def study(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both precisions and return the record."""
    load = os.getloadavg()[0]
    (folder / "prepared").mkdir()
    (folder / "prepared" / "policy").symlink_to(catalog.resolve(given.policy).folder.resolve())
    spent = {precision: evaluate(given, folder, precision) for precision in PRECISIONS}
    left = {precision: folder / precision / sides.BASE / "lmeval" for precision in PRECISIONS}
    lines = [
        {"task": name} | asdict(compare(*(Answers(left[p], name, command=False) for p in PRECISIONS)))
        for name in spent["float32"][1].tasks
    ]
    return {
        "schema": 1,
        "kind": "bfloat16_evaluation",
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "load_before": load,
        "threads": 1,
        "policy": Path(given.policy).name,
        **{key: getattr(given, key) for key in ("tasks", "limit", "limit_per", "batch_size")},
        "seconds": {p: {"process": asdict(all_of), "evaluation": asdict(part)} for p, (all_of, part) in spent.items()},
        "speed_up": spent["float32"][1].cpu_seconds / spent["bfloat16"][1].cpu_seconds,
        "verdict": verdict(lines),
        "not_run": not_run(left["float32"]),
        "compared": lines,
    }


def main() -> None:
    """Run the study, write its record and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2", help="model as una-bench names it, or a folder")
    parser.add_argument("--tasks", default="leaderboard-v1,leaderboard-v2", type=lambda text: text.split(","))
    parser.add_argument("--limit", type=float, default=1)
    parser.add_argument("--limit-per", choices=("task", "subtask"), default="task")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--hub", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        record = study(given, Path(temporary))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for line in record["compared"]:
        moved = {s["metric"]: round(s["difference"], 4) for s in line["scores"]}
        print(f"{line['task']:26s} log-likelihoods by {line['largest_difference']:.3f} at most; scores by {moved}")
    print(json.dumps(record["verdict"], indent=1), f"\nspeed: {record['speed_up']:.2f} times")


if __name__ == "__main__":
    main()
