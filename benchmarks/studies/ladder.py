"""Attribution of speed and memory to method and engine: from TRL's PPO and DPO to UNA, one change at a time.

    python benchmarks/studies/ladder.py                              # on a quiet machine; needs `models add smollm2`
    python benchmarks/studies/ladder.py --models small --lengths 24 --rounds 1 --out /tmp/ladder.json

Each rung is a method of una-bench with its settings, trained in float32 on one thread in a process of its own. A round
is every rung once, in turn. Time is that of one rollout with all its training (online) or of one pass over the pairs
with its reference pass (offline); memory is the peak above the imports, models included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[2] / "results" / "studies" / "ladder.json"
RESPONSES = {"small": 16, "smollm2": 4}
"""Responses of an optimizer step, and of a rollout."""
PAIRS = {"small": 16, "smollm2": 4}
"""Pairs of a pass over the data."""
TIMES = {"small": (1, 2), "smollm2": (0, 1)}
"""Rollouts, or passes over the pairs, before and during measurement."""
PRELOAD = ("una_bench.training.trl.ppo", "una_bench.training.trl.dpo", "una_bench.training.trl.online",
           "trl.trainer.rloo_trainer", "una_bench.training.una", "una_bench.una.online")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder."""

    name: str
    method: str
    share: str
    """What the change to the rung before belongs to."""
    passes: int = 1
    """Passes over each rollout."""
    settings: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("small", "smollm2")


def _ppo(passes: int, **settings: Any) -> dict[str, Any]:
    return {"num_ppo_epochs": passes, "num_mini_batches": 1, **settings}


PLAIN = {"sampler": "transformers", "logits_chunk_size": 0}
GROUPED = {"group_by_length": True}
ONLINE = (
    Rung(name="PPO, as TRL has it", method="ppo", share="", passes=4, settings=_ppo(4)),
    Rung(name="one pass over a rollout, not four", method="ppo", share="budget", settings=_ppo(1)),
    Rung(name="adapters on the value model", method="ppo", share="budget", settings=_ppo(1, value_adapters=True),
         models=("smollm2",)),
    Rung(name="no value model: TRL's RLOO", method="rloo", share="method", settings={"num_iterations": 1}),
    Rung(name="UNA-online, plain", method="una_online", share="loss, trainer", settings={"num_iterations": 1, **PLAIN}),
    Rung(name="logits in chunks", method="una_online", share="logits",
         settings={"num_iterations": 1, "sampler": "transformers"}),
    Rung(name="our sampler", method="una_online", share="sampler", settings={"num_iterations": 1}),
    Rung(name="four passes again", method="una_online", share="budget", passes=4, settings={"num_iterations": 4}),
)  # fmt: skip
OFFLINE = (
    Rung(name="DPO, as TRL has it", method="dpo", share=""),
    Rung(name="reference computed beforehand", method="dpo", share="setting",
         settings={"precompute_ref_log_probs": True}),
    Rung(name="batches of like length", method="dpo", share="setting",
         settings={"precompute_ref_log_probs": True, **GROUPED}),
    Rung(name="UNA-pairwise, plain", method="una_pairwise", share="trainer",
         settings={"logits_chunk_size": 0, "share_prompts": False, **GROUPED}),
    Rung(name="logits in chunks", method="una_pairwise", share="logits", settings={"share_prompts": False, **GROUPED}),
    # The batches of SmolLM2 here are too small to share prompts in.
    Rung(name="prompts of a pair once", method="una_pairwise", share="prompts", settings=GROUPED, models=("small",)),
)  # fmt: skip
LADDERS = {"online": ONLINE, "offline": OFFLINE}


def measure(prepared: str, model: str, length: int, rung: Rung) -> dict[str, float]:
    """Train one rung in this process; return CPU and wall seconds, operations and the peak."""
    import torch
    from ladder_problem import PAIRS as PREPARED
    from ladder_problem import PROMPT_TOKENS
    from transformers import set_seed

    from una_bench.instruments.probe import BEFORE, Probe
    from una_bench.interfaces import registry
    from una_bench.interfaces.method import Job, Lora
    from una_bench.worker import first_touch

    torch.set_num_threads(1)
    responses, (before, counted) = RESPONSES[model], TIMES[model]
    own = {"responses_per_rollout": responses} if rung in ONLINE else {}
    passes = rung.passes if own else 2 * PAIRS[model] // responses
    method = registry.method(rung.method)(**rung.settings | own)
    for name in method.preload:
        import_module(name)
    first_touch.touch_code()
    # The probe times phases with its first clock: here CPU time, which other load of the machine changes less.
    probe = Probe(clock=time.process_time, cpu_clock=time.perf_counter)
    set_seed(0)
    with tempfile.TemporaryDirectory() as out:
        lora = Lora() if model == "smollm2" else None
        sizes = {"budget_steps": (before + counted) * passes, "batch_responses": responses, "max_new_tokens": length}
        paths = {"prepared": Path(prepared), "out": Path(out)}
        job = Job(**paths, seed=0, **sizes, max_prompt_length=PROMPT_TOKENS, lora=lora)
        method.train(job, probe)
    cpu, wall, flops = (probe.samples[name] for name in ("seconds", "cpu_seconds", "flops"))
    first = before * len(cpu) // (before + counted)
    reference = probe.marks.get(BEFORE, 0.0) * PAIRS[model] / PREPARED  # it covers all that are prepared
    return {
        "cpu_seconds": sum(cpu[first:]) / counted + reference,
        "reference_cpu_seconds": reference,
        "wall_seconds_without_reference": sum(wall[first:]) / counted,
        "flops": sum(flops[first:]) / counted,
        "peak_bytes": probe.peak_bytes,
    }


def series(models: list[str], lengths: list[int], without: str) -> list[tuple[str, str, int, Rung]]:
    """Return every measurement of a round: ladder, model, length, rung."""
    return [
        (ladder, model, length, rung)
        for model in models
        for length in lengths
        for ladder, rungs in LADDERS.items()
        for rung in rungs
        if model in rung.models and not (without == "passes" and model != "small" and rung.passes > 1)
    ]


def run(todo: list[tuple[str, str, int, Rung]], rounds: int, record: dict[str, Any], out: Path) -> None:
    """Measure every rung in turn, ``rounds`` times; the record is written after every rung."""
    from ladder_problem import prepare

    context = get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, "una_bench.worker.first_touch"])
    with tempfile.TemporaryDirectory() as folder:
        prepared = {
            (m, n): str(prepare(Path(folder) / f"{m}{n}", m, n)) for m, n in sorted({entry[1:3] for entry in todo})
        }
        for number in range(rounds):
            for ladder, model, length, rung in todo:
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    result = pool.submit(measure, prepared[model, length], model, length, rung).result()
                result["load"] = os.getloadavg()[0]
                record["samples"].setdefault(f"{ladder}/{model}/{length}/{rung.name}", []).append(result)
                print(f"{number + 1}/{rounds} {ladder} {model} {length} {rung.name}: {result}", file=sys.stderr)
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(record, indent=1) + "\n")


def main() -> None:
    """Parse the command line, run the study and print its tables."""
    from ladder_tables import markdown
    from una_vs_trl import environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="small,smollm2")
    parser.add_argument("--lengths", default="24,96", help="tokens of a response")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", default="", choices=["", "passes"], help="passes: four passes on small alone")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    record = {"study": "ladder", "environment": environment(), "responses": RESPONSES, "pairs": PAIRS, "samples": {}}
    lengths = [int(n) for n in given.lengths.split(",")]
    run(series(given.models.split(","), lengths, given.without), given.rounds, record, given.out)
    print(markdown(record))


if __name__ == "__main__":
    main()
