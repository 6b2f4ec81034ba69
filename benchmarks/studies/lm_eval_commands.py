"""Wall time of the leaderboards for many checkpoints: una-bench in one process against one `lm_eval` command for each.

    python benchmarks/studies/lm_eval_commands.py --limit 1 --hub HUB [--adapters 6] [--methods-measured 2] [--out FILE]

Checkpoints are the policy itself and LoRA adapters of it with random weights. Our side evaluates all of them in one
fresh process with an empty cache; its time is that of the whole process. The other side is `python -m lm_eval run`,
one fresh process for each checkpoint and task, on the documents that our side chose; if it runs on only some of the
checkpoints, the others are assumed to take as long, as the record notes. Target: at most a third of the wall time,
and the same scores. ``--hub`` is a filled HF_HOME, used instead of the network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lm_eval_sides as sides
from lm_eval_answers import Answers, compare, verdict
from lm_eval_summary import TARGET_RATIO, show, totals

from una_bench.evaluation.leaderboards import GROUPS
from una_bench.machine import environment
from una_bench.models import catalog

OUT = Path(__file__).parents[2] / "results" / "studies" / "lm_eval_commands.json"


def task_arguments(name: str, given: argparse.Namespace, answers: Answers | None) -> list[str]:
    """Return the arguments that make lm-eval's command evaluate the same documents of a task as our side.

    Args:
        name: lm-eval's name of the task or group.
        given: The study's options.
        answers: Our side's output, for its documents; None: the task's first ones.
    """
    shots = {e.task: e.shots for group in given.tasks for e in GROUPS.get(group, ())}.get(name)
    examples = [] if shots is None else ["--num_fewshot", str(shots)]
    if answers is None or given.limit_per == "subtask":
        return ["--tasks", name, "--limit", f"{given.limit:g}", *examples]
    documents = answers.documents()
    return ["--tasks", ",".join(documents), "--samples", json.dumps(documents), *examples]


def fast_side(given: argparse.Namespace, folder: Path, checkpoints: dict[str, Path]) -> sides.Spent:
    """Evaluate all checkpoints with our benchmark, in one fresh process with an empty result cache."""
    settings = {"tasks": given.tasks, "limit": given.limit, "limit_per": given.limit_per}
    work = {
        "do": "ours",
        "prepared": str(folder / "prepared"),
        "checkpoints": {name: str(path) for name, path in checkpoints.items()},
        "settings": settings | {"batch_size": given.batch_size},
        "out": str(folder / "ours"),
    }
    empty = sides.environment_variables(given.hub, UNA_BENCH_CACHE=str(folder / "cache"))
    return sides.script(work, empty, folder / "ours.log")


def command(given: argparse.Namespace, folder: Path, where: tuple[str, Path, str]) -> dict[str, Any]:
    """Run lm-eval's command for one checkpoint and task, and compare its output with ours."""
    checkpoint, path, name = where
    ours = Answers(folder / "ours" / checkpoint / "lmeval", name, command=False)
    ran = (ours.folder / f"{name}.results.json").is_file()
    arguments = task_arguments(name, given, ours if ran else None)
    out, log = folder / "lm_eval" / checkpoint / name, folder / f"{checkpoint}.{name}.log"
    adapter = None if checkpoint == sides.BASE else path
    if given.before:
        subprocess.run(["sh", "-c", given.before], check=True)
    full = sides.lm_eval(
        folder / "prepared" / "policy", adapter, [*arguments, "--output_path", str(out)], given.batch_size
    )
    spent = sides.timed(full, sides.environment_variables(given.hub), log)
    line = {"checkpoint": checkpoint, "task": name, "arguments": " ".join(arguments), **asdict(spent)}
    if spent.status:
        output = [text for text in log.read_text(encoding="utf-8", errors="replace").splitlines() if text.strip()]
        return line | {"reason": output[-1].replace(str(folder), "") if output else ""}
    return line | (asdict(compare(ours, Answers(out, name, command=True))) if ran else {})


def slow_side(given: argparse.Namespace, folder: Path, checkpoints: dict[str, Path]) -> list[dict[str, Any]]:
    """Run lm-eval's commands, on adapters first, since all checkpoints but one are adapters."""
    order = [*(name for name in checkpoints if name != sides.BASE), sides.BASE][: given.methods_measured]
    lines = []
    for place, checkpoint in enumerate(order):
        left = folder / "ours" / checkpoint / "lmeval"
        [facts] = [item for item in sides.evaluated(folder / "ours") if item.checkpoint == checkpoint]
        for name in [*facts.tasks, *(not_run(left) if place == 0 else ())]:
            lines.append(command(given, folder, (checkpoint, checkpoints[checkpoint], name)))
            print(f"{checkpoint} {name}: {lines[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return lines


def not_run(folder: Path) -> dict[str, str]:
    """Return the tasks that our side could not run, with the reason."""
    file = folder / "not_run.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def lay_out(given: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Create the checkpoints: the policy and its adapters, laid out as in a suite."""
    (folder / "prepared").mkdir()
    policy = folder / "prepared" / "policy"
    policy.symlink_to(catalog.resolve(given.policy).folder.resolve())
    adapters = folder / "adapters"
    work = {"do": "adapters", "policy": str(policy), "out": str(adapters), "count": given.adapters, "seed": given.seed}
    if given.adapters:
        sides.script(work, sides.environment_variables(given.hub), folder / "adapters.log")
    return {sides.BASE: policy, **{f"adapter-{n}": adapters / f"adapter-{n}" for n in range(1, given.adapters + 1)}}


def study(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both sides and return the record."""
    load = os.getloadavg()[0]
    checkpoints = lay_out(given, folder)
    fast = fast_side(given, folder, checkpoints)
    print(f"una-bench, {len(checkpoints)} checkpoints: {fast.seconds:.1f} s", file=sys.stderr, flush=True)
    lines = slow_side(given, folder, checkpoints)
    each = sides.evaluated(folder / "ours")
    measured = list(dict.fromkeys(line["checkpoint"] for line in lines))
    return {
        "schema": 1,
        "kind": "lm_eval_commands",
        "environment": environment.machine() | environment.code() | {"packages": environment.packages()},
        "load_before": load,
        "threads": 1,
        "policy": Path(given.policy).name,
        **{key: getattr(given, key) for key in ("tasks", "limit", "limit_per", "batch_size", "seed")},
        "checkpoints": list(checkpoints),
        "measured_checkpoints": measured,
        "scaled": {"lm_eval": given.methods - len(measured), "una_bench": given.methods - len(checkpoints)},
        "wanted": TARGET_RATIO,
        "totals": totals(lines, fast, each, given.methods),
        "verdict": verdict([line for line in lines if line.get("scores")]),
        "not_run": not_run(folder / "ours" / sides.BASE / "lmeval"),
        "una_bench": {**asdict(fast), "evaluated": [asdict(facts) for facts in each]},
        "una_bench_scores": {name: scores_of(folder / "ours" / name / "lmeval") for name in checkpoints},
        "commands": lines,
    }


def scores_of(folder: Path) -> dict[str, dict[str, float]]:
    """Return all our scores of a checkpoint."""
    names = [file.name.removesuffix(".results.json") for file in sorted(folder.glob("*.results.json"))]
    return {task: row for name in names for task, row in Answers(folder, name, command=False).scores().items()}


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2", help="model as una-bench names it, or a folder")
    parser.add_argument("--adapters", type=int, default=6)
    parser.add_argument("--methods", type=int, help="methods to compare for; default: all checkpoints")
    parser.add_argument("--methods-measured", type=int, default=1, help="checkpoints that lm-eval's commands run on")
    parser.add_argument("--tasks", default="leaderboard-v1,leaderboard-v2", type=lambda text: text.split(","))
    parser.add_argument("--limit", type=float, default=1)
    parser.add_argument("--limit-per", choices=("task", "subtask"), default="task")
    parser.add_argument("--batch-size", type=int, default=1, help="for both sides; 1 is lm-eval's default")
    parser.add_argument("--hub", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="folder of both sides' files; default: a temporary folder")
    parser.add_argument("--before", default="", help="shell command to run before each lm-eval command")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.methods = given.methods or given.adapters + 1
    with tempfile.TemporaryDirectory() as temporary:
        record = study(given, given.folder or Path(temporary))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(record)


if __name__ == "__main__":
    main()
