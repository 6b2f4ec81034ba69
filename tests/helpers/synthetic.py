"""Fixed synthetic records: every case that reading must survive, with numbers that a test can work out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from una_bench.record import line
from una_bench.record.schema import Better, Curve, Failure, Measurement, Record, Status, StepSamples

HOSTILE = "Bad \x1b[31mred\x1b[0m <script>alert('x')</script> & [bold]|$x_1$ \u202eevil"
MIB = 2**20
JITTER = (0.0, 1.0, -1.0)
"""Seed noise: mean 0, standard deviation 1."""

LEVELS: dict[str, dict[str, Any]] = {
    "base": {"label": "Base (untrained)", "regret": 1.0, "held": 1.0, "kl": 0.0, "reward": 1.0, "acc": 0.25},
    "dpo": {
        "label": "DPO",
        "regret": 0.34,
        "held": 0.36,
        "kl": 1.13,
        "reward": 2.2,
        "acc": 0.50,
        "tps": 41000,
        "mem": 310,
    },
    "kto": {
        "label": "KTO",
        "regret": 0.53,
        "held": 0.53,
        "kl": 0.44,
        "reward": 1.7,
        "acc": 0.45,
        "tps": 39000,
        "mem": 312,
    },
    "ppo": {
        "label": "PPO",
        "regret": 0.10,
        "held": 0.24,
        "kl": 1.42,
        "reward": 2.6,
        "acc": 0.55,
        "tps": 9000,
        "mem": 620,
    },
    "una_online": {
        "label": "UNA-online",
        "regret": 0.102,
        "held": 0.241,
        "kl": 1.42,
        "reward": 2.6,
        "acc": 0.56,
        "tps": 14000,
        "mem": 480,
    },
    "una_score": {
        "label": HOSTILE,
        "regret": 0.59,
        "held": 0.60,
        "kl": 0.15,
        "reward": 1.5,
        "acc": 0.40,
        "tps": 40500,
        "mem": 311,
    },
}
NOISE = {"regret": 0.006, "held": 0.02, "kl": 0.05, "reward": 0.02, "acc": 0.02, "tps": 300, "mem": 1}
METRICS = {
    "regret": ("oracle.regret.train", "1", Better.LOWER),
    "held": ("oracle.regret.heldout", "1", Better.LOWER),
    "kl": ("oracle.kl_ref.train", "nat", Better.NEITHER),
    "reward": ("oracle.reward.train", "1", Better.HIGHER),
    "tps": ("throughput.tokens_per_second", "token/s", Better.HIGHER),
    "mem": ("memory.peak", "B", Better.LOWER),
}
JOB = {"budget_responses": 4096, "batch_responses": 64, "max_new_tokens": 4, "temperature": 1.0, "precision": "float32"}
ENVIRONMENT = {
    "machine": "test machine",
    "cores": 2,
    "packages": {"torch": "2.13.0", "una-bench": "0.1.0"},
    "commit": "abc1234",
}
PREPARED = {"problem": "12" * 8, "policy": "34" * 8, "data": "56" * 8, "heldout": "78" * 8, "names": {"policy": "tiny"}}


def measurement(metric: str, unit: str, better: Better, value: float, stderr: float | None = None) -> Measurement:
    return Measurement(metric=metric, unit=unit, better=better, samples=(value,), stderr=stderr)


def measurements(method: str, seed: int, *, tasks: bool = True) -> tuple[Measurement, ...]:
    level = LEVELS[method]
    # The seed moves every method alike (pairing pays), and each method a little by itself.
    own = JITTER[(seed + len(method)) % 3] * 0.3 if method != "base" else 0.0
    shift = (JITTER[seed % 3] + own) if method != "base" else 0.0
    found = []
    for name, (metric, unit, better) in METRICS.items():
        if name in level:
            value = level[name] + NOISE[name] * shift
            found.append(measurement(metric, unit, better, value * MIB if name == "mem" else value))
    if "mem" in level:
        found += [
            measurement(f"memory.phase.{phase}", "B", Better.LOWER, level["mem"] * share * MIB)
            for phase, share in (("load", 0.4), ("forward", 0.8), ("backward", 1.0), ("optimizer", 0.9))
        ]
        found += [
            measurement(f"memory.resident.{part}", "B", Better.NEITHER, level["mem"] * share * MIB)
            for part, share in (("weights", 0.2), ("gradients", 0.2), ("optimizer", 0.4))
        ]
        found.append(measurement("throughput.samples_per_second", "sample/s", Better.HIGHER, level["tps"] / 5))
        found.append(measurement("throughput.padding_share", "1", Better.LOWER, 0.125))
        found.append(measurement("compute.flops", "FLOP", Better.LOWER, level["tps"] * 1e9))
    if tasks:
        for i, task in enumerate(("copy", "order", "sum")):
            score = level["acc"] + 0.1 * i + NOISE["acc"] * shift
            found.append(measurement(f"task.{task}.acc", "1", Better.HIGHER, score, 0.03))
    return tuple(found)


def record(method: str, seed: int, **changes: Any) -> Record:
    trains = method != "base"
    level = LEVELS[method]
    xs = tuple(float(x) for x in range(512, 4097, 512))
    slope = [1 + (level["regret"] - 1) * x / 4096 + 0.002 * JITTER[seed % 3] for x in xs]
    values: dict[str, Any] = {
        "run": "run-a",
        "suite": "exact",
        "cell": f"{method}-s{seed}",
        "key": f"{method}{seed}",
        "method": method,
        "label": level["label"],
        "seed": seed,
        "status": Status.OK,
        "settings": {"learning_rate": 3e-4 if method == "ppo" else 1e-3, "beta": 0.5, "warmup_steps": 50},
        "settings_changed": ("beta",),
        "job": JOB,
        "facts": facts(method, trains=trains),
        "environment": ENVIRONMENT,
        "measurements": measurements(method, seed),
        "curves": (
            Curve(metric="oracle.regret.train", unit="1", better=Better.LOWER, x=xs, y=tuple(slope)),
            Curve(metric="loss", unit="1", x=xs, y=tuple(0.7 - 0.0001 * x for x in xs)),
        )
        if trains
        else (),
        "steps": StepSamples(
            seconds=tuple(0.02 + 0.001 * ((7 * i + seed) % 5) for i in range(64)),
            responses=(64,) * 64,
            response_tokens=(200,) * 64,
            optimizer_steps=(1,) * 64,
            warmup=3,
        )
        if trains
        else StepSamples(),
        "phase_seconds": {"load": 0.1, "step": 1.4} if trains else {},
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
    }
    return Record.model_validate({**values, **changes})


def facts(method: str, *, trains: bool) -> dict[str, Any]:
    if not trains:
        return {"optimizer_steps": 0, "initial_weights_sha256": "aa" * 32, "prepared": PREPARED}
    online = method in {"ppo", "una_online"}
    found: dict[str, Any] = {
        "prepared": PREPARED,
        "initial_weights_sha256": "aa" * 32,
        "responses_trained": 4096,
        "prompt_tokens": 8192,
        "response_tokens": 12800 if online else 13000,
        "padding_tokens": 500,
        "optimizer_steps": 64,
        "tokenisation_example": {"prompt_ids": [1, 2], "completion_ids": [3, 0], "text": "a b c"},
    }
    if online:
        return {**found, "prompts_distinct": 48, "prompts_set_sha256": "cc" * 32}
    return {**found, "responses_distinct": 2801, "responses_set_sha256": "bb" * 32}


def failed(method: str, seed: int, status: Status = Status.OUT_OF_MEMORY) -> Record:
    return record(
        method,
        seed,
        status=status,
        failure=Failure(
            phase="train",
            step=17,
            reason="needed 3 GiB more <b>than</b> \x1b[2Jthere was",
            advice="Lower batch_responses for every method.",
            log_tail=("step 16", "step 17", "Killed \x1b[31m"),
        ),
        facts={},
        environment={},
        measurements=(),
        curves=(),
        steps=StepSamples(),
        phase_seconds={},
    )


def records() -> list[Record]:
    """Six methods: one seed failed, one cell alone, one method without tasks, one label that attacks."""
    found = [record("base", 0)]
    for seed in range(3):
        found += [record(m, seed) for m in ("dpo", "una_online", "una_score")]
        found.append(record("ppo", seed) if seed < 2 else failed("ppo", seed))
    found.append(record("kto", 0, measurements=measurements("kto", 0, tasks=False)))
    return found


def thousand() -> list[Record]:
    """A thousand records: 67 variants of five methods, three seeds."""
    return [
        record(m, seed, variant=f"beta={v}", cell=f"{m}[{v}]-s{seed}", label=f"{m} {v}")
        for v in range(67)
        for m in ("dpo", "kto", "ppo", "una_online", "una_score")
        for seed in range(3)
    ]


INFO: dict[str, Any] = {
    "suite": "exact",
    "about": "Every response can be enumerated.",
    "command": "una-bench run exact --methods ppo,dpo,kto,una --seeds 0,1,2",
    "key": "0123456789abcdef",
    "frontier": {"kl": [0.0, 0.2, 0.5, 1.0, 1.5, 2.5], "reward": [1.0, 1.65, 2.05, 2.45, 2.66, 2.85]},
    "methods": ["base", "dpo", "kto", "ppo", "una_online", "una_score"],
    "seeds": [0, 1, 2],
}


def write_run(folder: Path, found: list[Record] | None = None, info: dict[str, Any] | None = None) -> Path:
    """Write a run's folder as the runner does."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (line.dump(r) + "\n" for r in (records() if found is None else found))
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(INFO if info is None else info), encoding="utf-8")
    return folder


def write_documents(run: Path, found: Record, task: str, scores: list[float]) -> None:
    """Leave the samples of one task where the benchmark leaves those of lm-eval."""
    folder = run / "cells" / f"{found.method}-s{found.seed}-{found.key[:8]}" / "lmeval"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (
        {"doc_id": i, "filter": "none", "acc": s, "arguments": [["<b>2+2</b>", {}]], "resps": [["<script>4"]]}
        for i, s in enumerate(scores)
    )
    (folder / f"{task}.samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
