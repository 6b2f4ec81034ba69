"""Seven things that a change can break, done to the running code in the worker that trains, and the runs with them.

``python -c "import planted; planted.main()" FOLDER`` trains unchanged code twice, and then once with each of them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

Spec = Mapping[str, Any]
RECIPE: dict[str, Any] = {
    "schema": 1,
    "name": "planted",
    "problem": {
        "kind": "exact",
        "responses": 256,
        "responses_heldout": 32,
        "sft_steps": 20,
        "reward_model_steps": 4,
    },
    "methods": ["una_score", "kto", "una_online"],
    "seeds": [0],
    "training": {"beta": 0.5, "warmup_steps": 2},
    "settings": {
        "kto": {"desirable_weight": 1.0, "undesirable_weight": 2.0},
        "una_online": {"responses_per_rollout": 32, "num_iterations": 2},
    },
    "budget": {"responses": 512},
    "batch_responses": 16,
    "benchmarks": {"memory": {}, "throughput": {}, "compute": {}, "pace": {}},
    "workers": 2,
    "timeout_minutes": 3,
}


def _train(spec: Spec, pipe: Any) -> dict[str, Any]:
    from una_bench.worker import entry

    return entry.train(spec, pipe)


def wrong_sign(spec: Spec, pipe: Any) -> dict[str, Any]:
    """A loss with the wrong sign."""
    from una_bench.una import losses

    right = losses.una_score
    losses.una_score = lambda *args, **kwargs: -right(*args, **kwargs)
    return _train(spec, pipe)


def swapped_weights(spec: Spec, pipe: Any) -> dict[str, Any]:
    """KTO's two weights, each in the place of the other."""
    from una_bench.training.trl import kto

    right = kto.own_settings

    def swapped(method: Any) -> dict[str, Any]:
        own = right(method)
        one, other = "desirable_weight", "undesirable_weight"
        return own | {one: own[other], other: own[one]}

    kto.own_settings = swapped
    return _train(spec, pipe)


def trained_reference(spec: Spec, pipe: Any) -> dict[str, Any]:
    """A reference that is no copy of the policy but the policy itself."""
    from una_bench.una import trainer

    trainer.frozen_copy = lambda model: model
    return _train(spec, pipe)


def padding_as_tokens(spec: Spec, pipe: Any) -> dict[str, Any]:
    """Padding that counts as tokens of responses."""
    from una_bench.training import una

    right = una.tally

    def counted(batch: Mapping[str, Any]) -> dict[str, int]:
        counts = right(batch)
        padding = counts.pop("padding_tokens")
        return counts | {"response_tokens": counts["response_tokens"] + padding, "padding_tokens": 0}

    una.tally = counted
    return _train(spec, pipe)


def _drag(wait: Callable[[float], None]) -> None:
    """Make each step half as long again before it ends."""
    from transformers import TrainerCallback

    from una_bench.training import common

    right = common.instrument

    def instrument(trainer: Any, probe: Any, *rest: Any, **more: Any) -> None:
        class Drag(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                wait((probe.clock() - probe._begun[0]) / 2)

        trainer.add_callback(Drag())
        right(trainer, probe, *rest, **more)

    common.instrument = instrument


def waiting_step(spec: Spec, pipe: Any) -> dict[str, Any]:
    """A step 1.5 times as long, because it waits for something."""
    _drag(time.sleep)
    return _train(spec, pipe)


def working_step(spec: Spec, pipe: Any) -> dict[str, Any]:
    """A step 1.5 times as long, because it does more."""

    def work(seconds: float) -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    _drag(work)
    return _train(spec, pipe)


def more_memory(spec: Spec, pipe: Any) -> dict[str, Any]:
    """Something beside the policy that makes the peak 1.3 times as high."""
    import torch

    from una_bench.training import una

    right, kept = una.load_policy, []

    def load(job: Any, probe: Any) -> Any:
        kept.append(torch.ones(int(spec["ballast_bytes"]), dtype=torch.uint8))
        return right(job, probe)

    una.load_policy = load
    return _train(spec, pipe)


def other_seed(spec: Spec, pipe: Any) -> dict[str, Any]:
    """A seed that is another each time."""
    from una_bench.worker import entry

    right = entry._job
    entry._job = lambda spec: replace(right(spec), seed=int.from_bytes(os.urandom(3)))
    return _train(spec, pipe)


PLANTS: dict[Callable[..., Any], str] = {
    wrong_sign: "una_score",
    swapped_weights: "kto",
    trained_reference: "una_online",
    padding_as_tokens: "una_score",
    waiting_step: "una_score",
    working_step: "una_score",
    more_memory: "una_score",
    other_seed: "una_score",
}
"""What is planted -> the method that is trained with it."""


def main() -> None:
    """Make the runs ``first``, ``second`` (unchanged), and one named after each plant."""
    import yaml

    from una_bench.orchestration import preparation
    from una_bench.orchestration.process_pool import Pool
    from una_bench.suite import plan, recipe

    folder = Path(sys.argv[1])
    (folder / "planted.yaml").write_text(yaml.safe_dump(RECIPE))
    made = plan.make(recipe.load(str(folder / "planted.yaml")))
    pool = Pool(workers=2, threads=1, listen=lambda *_: None)
    preparation.ensure(made, pool, log=folder / "prepare.log", say=print)
    _runs(folder, made, pool, {name: ("train", RECIPE["methods"], {}) for name in ("first", "second")})
    ballast = {"ballast_bytes": 0.3 * _peak(folder / "first")}
    plants = {plant.__name__: (f"planted:{plant.__name__}", [method], ballast) for plant, method in PLANTS.items()}
    _runs(folder, made, pool, plants)


def _peak(run: Path) -> float:
    from una_bench.record import reader

    return next(
        m.value
        for record in reader.records(run)
        for m in record.measurements
        if record.method == "una_score" and m.metric == "memory.peak"
    )


def _runs(folder: Path, made: Any, pool: Any, wanted: Mapping[str, tuple[str, list[str], Mapping[str, float]]]) -> None:
    """Train the cells of several runs side by side and write their records."""
    from una_bench.orchestration.cell_records import failed_record, finished_record
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.runner import Options, Runner

    runners = {name: Runner(made, RunFolder(folder / name), Options(quiet=True)) for name in wanted}
    tasks, owners = [], {}
    for name, (kind, methods, more) in wanted.items():
        for cell in (c for c in made.cells if c.method in methods):
            task = runners[name]._train_task(cell)
            task.kind, task.name, task.spec = kind, f"{name} {cell.name}", {**task.spec, **more}
            tasks.append(task)
            owners[task.name] = (runners[name], cell)

    def ended(outcome: Any) -> None:
        runner, cell = owners[outcome.task.name]
        trained, common = runner.folder.result(cell, "trained"), runner._common(cell)
        nothing: dict[str, Any] = {"measurements": [], "seconds": 0.0}
        record = finished_record(common, trained, nothing) if trained else failed_record(common, outcome, "train")
        runner.folder.append(record)

    pool.run(tasks, ended)
    for runner in runners.values():
        runner.folder.write_info(made, runner.prepared.manifest, command="planted", baseline="")
