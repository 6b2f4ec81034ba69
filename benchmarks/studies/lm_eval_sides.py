"""The two sides of the study of lm-eval's commands: una-bench in one process, and one lm-eval command per task.

As a script, ``lm_eval_sides.py JSON``, it runs the part that needs torch in a separate process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "base"
"""Name of the checkpoint that is the policy itself."""
SPREAD = 0.005
"""Standard deviation of the adapters' second factor: changes answers without making them noise."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Time of a process and its children, from start to end."""

    seconds: float
    cpu_seconds: float
    status: int
    """Exit status."""


def environment_variables(hub: Path | None, **more: str) -> dict[str, str]:
    """Return the environment of both sides: one thread, and ``hub`` instead of the network if given."""
    changes = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", **more}
    if hub:
        changes |= {"HF_HOME": str(hub.resolve()), "NLTK_DATA": str(hub.resolve() / "nltk_data"), "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **changes}


def timed(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Spent:
    """Run a command in a fresh process, with its output in ``log``."""
    with log.open("w", encoding="utf-8") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, status=process.returncode)


def script(work: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> Spent:
    """Run a part of this file in a fresh process.

    Raises:
        SystemExit: It failed.
    """
    spent = timed([sys.executable, str(Path(__file__).resolve()), json.dumps(work)], environment, log)
    if spent.status:
        raise SystemExit(f"{work['do']} failed:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return spent


def lm_eval(policy: Path, adapter: Path | None, what: Sequence[str], batch_size: int) -> list[str]:
    """Return a user's command for one model and one task, with results and samples saved."""
    model = f"pretrained={policy}" + (f",peft={adapter}" if adapter else "") + ",dtype=float32"
    fixed = ["--model", "hf", "--model_args", model, "--device", "cpu", "--batch_size", str(batch_size)]
    return [sys.executable, "-m", "lm_eval", "run", *fixed, *what, "--log_samples"]


def adapters(*, policy: str, out: str, count: int, seed: int) -> None:
    """Save ``count`` LoRA adapters of the policy with random weights; both factors are drawn, so each differs."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    base = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    for number in range(1, count + 1):
        torch.manual_seed(seed + number)
        for name, weight in model.named_parameters():
            if "lora_A" in name:
                torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            elif "lora_B" in name:
                torch.nn.init.normal_(weight, std=SPREAD)
        folder = Path(out) / f"adapter-{number}"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def ours(*, prepared: str, checkpoints: Mapping[str, str], settings: Mapping[str, Any], out: str) -> None:
    """Evaluate every checkpoint with the leaderboard benchmark, and write the start and end time of each."""
    from una_bench.interfaces import registry
    from una_bench.interfaces.benchmark import Checkpoint
    from una_bench.interfaces.prepared import Prepared
    from una_bench.machine import process_tuning

    process_tuning.keep_freed_memory()  # as evaluation workers do
    world, folder = Prepared(Path(prepared)), Path(out)
    benchmark = registry.benchmark("leaderboard")(**settings)
    benchmark.prepare(world, "cpu")
    marks = []
    for name, path in checkpoints.items():
        (folder / name).mkdir(parents=True)
        began = time.time(), time.process_time()
        benchmark.evaluate(Checkpoint(path=Path(path), prepared=world, out=folder / name))
        ended = time.time(), time.process_time()
        marks.append({"checkpoint": name, "began": began, "ended": ended})
    (folder / "marks.json").write_text(json.dumps(marks), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Time of one checkpoint in our process."""

    checkpoint: str
    seconds: float
    cpu_seconds: float
    tasks: dict[str, float]
    """Seconds of each task that was run; the first includes loading the checkpoint."""


def evaluated(out: Path) -> list[Evaluated]:
    """Read the times written by `ours`; a task ends when its results are written."""
    times = []
    for mark in json.loads((out / "marks.json").read_text(encoding="utf-8")):
        (began, cpu_began), (ended, cpu_ended) = mark["began"], mark["ended"]
        files = (out / mark["checkpoint"] / "lmeval").glob("*.results.json")
        tasks, before = {}, began
        for moment, name in sorted((f.stat().st_mtime, f.name.removesuffix(".results.json")) for f in files):
            tasks[name], before = moment - before, moment
        cpu = cpu_ended - cpu_began
        times.append(Evaluated(checkpoint=mark["checkpoint"], seconds=ended - began, cpu_seconds=cpu, tasks=tasks))
    return times


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    if work.pop("do") == "adapters":
        adapters(**work)
    else:
        ours(**work)
