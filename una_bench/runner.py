"""Runs a plan: shared preparation once, a process per training, evaluation apart, one record a cell."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from una_bench import plan as plans
from una_bench import read, store
from una_bench import recipe as recipes
from una_bench.data import Prepared
from una_bench.errors import UserError
from una_bench.plan import Cell, Plan
from una_bench.progress import Reporter
from una_bench.record import Failure, Record, Status, StepSamples
from una_bench.supervise import Outcome, Pool, Task

ADVICE = {
    Status.OUT_OF_MEMORY: "Lower batch_responses, use lora, or choose a smaller model: all change the comparison, "
    "so change them for every method.",
    Status.TIMEOUT: "Raise timeout_minutes, or look at the log for the step it stood at.",
    Status.KILLED: "See whether the machine ran out of memory; run the same command again to retry.",
    Status.DIVERGED: "Lower learning_rate for every method, or report the divergence: it is a result.",
    Status.FAILED: "The log in the cell's folder has the traceback; run the same command again to retry.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a run came to."""

    run: Path
    records: list[Record]
    trained: int
    """Cells that this call trained; the others were there."""

    @property
    def failed(self) -> list[Record]:
        """Records of cells without a result."""
        return [r for r in self.records if r.status is not Status.OK]


def default_folder(plan: Plan) -> Path:
    """``results/runs/SUITE-KEY`` below the working directory."""
    return Path("results") / "runs" / f"{plan.recipe.name}-{plan.key[:8]}"


def check_folder(plan: Plan, run: Path) -> None:
    """Refuse a folder that cannot be written or that holds something else; change nothing in it."""
    if run.exists() and not run.is_dir():
        raise UserError(f"--out {run} is a file. Choose another folder.")
    info_path = run / "run.json"
    if info_path.exists():
        try:
            before = json.loads(info_path.read_text())
        except ValueError:
            raise UserError(f"{info_path} is damaged. Choose another --out, or delete the folder.") from None
        if before.get("key") != plan.key:
            raise UserError(
                f"{run} holds a run of another recipe ({before.get('suite')}, key {before.get('key')}, this one has "
                f"{plan.key}). Choose another --out; nothing was changed."
            )
    elif run.is_dir() and any(run.iterdir()):
        raise UserError(f"--out {run} is not empty and holds no run of una-bench. Choose another folder.")
    store.writable(run)


class Runner:
    """One call of ``una-bench run``."""

    def __init__(self, plan: Plan, run: Path, *, quiet: bool = False, command: str = "") -> None:
        """Take the plan and the run's folder, which `check_folder` has accepted."""
        self.plan = plan
        self.run_folder = run
        self.command = command
        self.report = Reporter(quiet=quiet)
        self.device = resolve_device(plan.recipe.device)
        self.pool = Pool(workers=plan.recipe.workers, threads=plan.recipe.threads, listen=self.report.hear)
        self.trained = 0
        self.started: dict[str, str] = {}

    def run(self) -> Finished:
        """Do what is missing, write the records, and return all of them."""
        lock = FileLock(self.run_folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.run_folder} is being written by another una-bench run. Wait, or choose --out."
            ) from None
        with lock, self.report:
            done = {r.key for r in read.records(self.run_folder) if r.status is Status.OK}
            missing = [cell for cell in self.plan.cells if cell.key not in done]
            prepared = self.prepare()
            self.write_info(prepared)
            if missing:
                self.train(missing, prepared)
                self.evaluate(missing, prepared)
            keys = {cell.key for cell in self.plan.cells}
            records = [r for r in read.records(self.run_folder) if r.key in keys]
        return Finished(run=self.run_folder, records=records, trained=self.trained)

    def folder(self, cell: Cell) -> Path:
        """Folder of one cell."""
        return self.run_folder / "cells" / cell.folder

    def prepare(self) -> Prepared:
        """Return the prepared folder of the suite, making it first if no run has yet."""
        folder = store.cache_folder() / "prepared" / f"{self.plan.recipe.problem['kind']}-{self.plan.problem_key}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                self.report.say(f"Preparing the suite {self.plan.recipe.name} (once; kept in the cache)")
                spec = {"out": str(folder), "problem": self.plan.recipe.problem}
                outcomes: list[Outcome] = []
                log = self.run_folder / "prepare.log"
                self.pool.run(
                    [Task(kind="prepare", name="prepare", spec=spec, log=log, timeout_seconds=self.timeout)],
                    outcomes.append,
                )
                if outcomes[0].status is not Status.OK:
                    raise UserError(f"The suite could not be prepared: {outcomes[0].reason}. The log is {log}.")
        return Prepared(folder)

    @property
    def timeout(self) -> float:
        """Seconds that one task may take."""
        return self.plan.recipe.timeout_minutes * 60

    def write_info(self, prepared: Prepared) -> None:
        """Write what the records do not repeat: the resolved recipe and the prepared folder's manifest."""
        recipe = self.plan.recipe
        before = read.run_info(self.run_folder) if (self.run_folder / "run.json").exists() else {}
        info = {
            "schema": 1,
            "suite": recipe.name,
            "about": recipe.about,
            "key": self.plan.key,
            "command": self.command,
            "methods": sorted({*before.get("methods", []), *recipe.methods}),
            "seeds": sorted({*before.get("seeds", []), *recipe.seeds}),
            "prepared": prepared.manifest,
            "frontier": prepared.manifest.get("frontier"),
        }
        store.write_text(self.run_folder / "run.json", json.dumps(info, indent=1, sort_keys=True) + "\n")
        store.write_text(self.run_folder / "recipe.yaml", recipes.dump(recipe))

    def train(self, cells: list[Cell], prepared: Prepared) -> None:
        """Train every cell that has no finished training in its folder."""
        todo = [c for c in cells if (store.read_json(self.folder(c) / "trained.json") or {}).get("key") != c.key]
        by_name = {c.name: c for c in todo}
        tasks = [self._train_task(cell, prepared) for cell in todo]
        self.report.expect(len(tasks), f"Training {len(tasks)} cells")

        def ended(outcome: Outcome) -> None:
            cell = by_name[outcome.task.name]
            self.report.finish(cell.name)
            self.trained += cell.trains and outcome.status is Status.OK
            if outcome.status is Status.OK:
                self.report.say(f"trained {cell.name} in {outcome.seconds:.0f} s")
            else:
                self.report.say(f"[red]{outcome.status}[/red] {cell.name}: {outcome.reason}")
                self.append(self._failed(cell, prepared, outcome, "train"))

        self.pool.run(tasks, ended)

    def _train_task(self, cell: Cell, prepared: Prepared) -> Task:
        out = self.folder(cell)
        shutil.rmtree(out, ignore_errors=True)  # leftovers of a killed training
        out.mkdir(parents=True)
        spec = {
            "key": cell.key,
            "method": cell.method,
            "settings": cell.settings,
            "job": {**self.job_facts(cell, prepared), "seed": cell.seed},
            "prepared": str(prepared.path),
            "out": str(out.resolve()),
            "benchmarks": self.plan.recipe.benchmarks,
            "evaluate_points": self.plan.recipe.evaluate_points,
        }
        self.started[cell.key] = now()
        return Task(kind="train", name=cell.name, spec=spec, log=out / "train.log", timeout_seconds=self.timeout)

    def job_facts(self, cell: Cell, prepared: Prepared) -> dict[str, Any]:
        """Return what this cell trains on, without paths."""
        lengths = (int(prepared.manifest["max_prompt_length"]), int(prepared.manifest["max_new_tokens"]))
        where = self.folder(cell)
        job = plans.job(self.plan, cell, prepared=prepared.path, out=where, device=self.device, lengths=lengths)
        return plans.job_facts(job)

    def evaluate(self, cells: list[Cell], prepared: Prepared) -> None:
        """Evaluate what trained, in one process that pays its imports once; restart it past a cell that breaks it."""
        todo = {
            c.name: c for c in cells if (store.read_json(self.folder(c) / "trained.json") or {}).get("key") == c.key
        }
        self.report.expect(len(todo), f"Evaluating {len(todo)} checkpoints")
        finished = [n for n, c in todo.items() if self._complete(c, prepared)]
        for name in finished:
            del todo[name]
        while todo:
            tasks = [self._evaluate_task(part, prepared, i) for i, part in enumerate(self._split(list(todo.values())))]
            outcomes: list[Outcome] = []
            self.pool.run(tasks, outcomes.append)
            for outcome in outcomes:
                names = [c["name"] for c in outcome.task.spec["cells"]]
                for name in names:
                    if self._complete(todo[name], prepared):
                        del todo[name]
                    elif outcome.status is not Status.OK:
                        self.report.say(f"[red]{outcome.status}[/red] {name} (evaluation): {outcome.reason}")
                        self.append(self._failed(todo.pop(name), prepared, outcome, "evaluate"))
                        break  # the cells after it were never begun: next round

    def _split(self, cells: list[Cell]) -> list[list[Cell]]:
        parts = [cells[i :: self.pool.workers] for i in range(self.pool.workers)]
        return [part for part in parts if part]

    def _evaluate_task(self, cells: list[Cell], prepared: Prepared, number: int) -> Task:
        specs = [
            {
                "name": c.name,
                "key": c.key,
                "seed": c.seed,
                "out": str(self.folder(c).resolve()),
                "checkpoint": (store.read_json(self.folder(c) / "trained.json") or {})["checkpoint"],
            }
            for c in cells
        ]
        spec = {
            "cells": specs,
            "prepared": str(prepared.path),
            "device": self.device,
            "benchmarks": self.plan.recipe.benchmarks,
        }
        log = self.run_folder / f"evaluate-{number}.log"
        limit = self.timeout * len(cells)
        return Task(kind="evaluate", name=f"evaluate-{number}", spec=spec, log=log, timeout_seconds=limit)

    def _complete(self, cell: Cell, prepared: Prepared) -> bool:
        """Append the record of a cell that is trained and evaluated; say whether it is."""
        trained = store.read_json(self.folder(cell) / "trained.json")
        evaluated = store.read_json(self.folder(cell) / "evaluated.json")
        if not trained or not evaluated or evaluated["key"] != cell.key:
            return False
        self.append(
            Record.model_validate(
                {
                    **self._common(cell, prepared),
                    "status": Status.OK,
                    "facts": trained["facts"],
                    "environment": trained["environment"],
                    "measurements": [*trained["measurements"], *evaluated["measurements"]],
                    "curves": trained["curves"],
                    "steps": trained["steps"],
                    "phase_seconds": trained["phase_seconds"],
                    "seconds": trained["seconds"] + evaluated["seconds"],
                }
            )
        )
        return True

    def _common(self, cell: Cell, prepared: Prepared) -> dict[str, Any]:
        return {
            "run": self.run_folder.name,
            "suite": self.plan.recipe.name,
            "cell": cell.name,
            "key": cell.key,
            "method": cell.method,
            "variant": cell.variant,
            "label": cell.label,
            "seed": cell.seed,
            "settings": cell.settings,
            "settings_changed": cell.settings_changed,
            "job": self.job_facts(cell, prepared),
            "started": self.started.get(cell.key, now()),
        }

    def _failed(self, cell: Cell, prepared: Prepared, outcome: Outcome, phase: str) -> Record:
        failure = Failure(
            phase=phase, reason=outcome.reason, advice=ADVICE.get(outcome.status, ""), log_tail=outcome.log_tail
        )
        return Record.model_validate(
            {
                **self._common(cell, prepared),
                "status": outcome.status,
                "failure": failure,
                "environment": {},
                "steps": StepSamples(),
                "seconds": outcome.seconds,
            }
        )

    def append(self, record: Record) -> None:
        """Keep one record."""
        store.append_record(self.run_folder, record)


def now() -> str:
    """UTC now, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def resolve_device(name: str) -> str:
    """Turn ``auto`` into ``cuda`` where the driver shows a card, without importing torch."""
    if name != "auto":
        return name
    return "cuda" if shutil.which("nvidia-smi") and Path("/dev/nvidia0").exists() else "cpu"
