"""Folder of one run: its files and the lock for writing.

recipe.yaml      the recipe with every default written out
run.json         suite, plan key, command, manifest of the prepared suite
records.jsonl    one record per line, appended; the last one of a cell counts
draw-K/          the same files for draw K of the problem, with --draws; the folder itself holds draw 0
cells/NAME/      trained.json, evaluated.json, checkpoint/, train.log, files of benchmarks
slurm/           scripts and logs of jobs, with --executor slurm
table.*, plots/, report.html   made from the records
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from una_bench.errors import UserError
from una_bench.instruments import fairness_facts
from una_bench.interfaces import registry
from una_bench.record import code_facts, reader, storage
from una_bench.record.schema import Record
from una_bench.suite import recipe as recipes
from una_bench.suite.plan import Cell, Plan


def now() -> str:
    """Return the current UTC time, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunFolder:
    """Folder of one run."""

    path: Path

    @classmethod
    def default(cls, plan: Plan) -> RunFolder:
        """Return ``results/runs/SUITE-KEY`` below the working directory."""
        return cls(Path("results") / "runs" / f"{plan.recipe.name}-{plan.key[:8]}")

    def draw(self, number: int) -> RunFolder:
        """Return the folder of one draw of the problem."""
        return RunFolder(self.path / f"{reader.DRAW}{number}") if number else self

    def check(self, plan: Plan) -> None:
        """Raise `UserError` if the folder cannot be written or has other content, which is left unchanged."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file. Choose another folder.")
        if (self.path / "run.json").exists():
            before = self._info()
            if before.get("key") != plan.key:
                raise UserError(
                    f"{self.path} is a run of another recipe (suite {before.get('suite')}, key {before.get('key')}; "
                    f"this one has key {plan.key}). Choose another --out; nothing was changed."
                )
        elif self.path.is_dir() and any(
            p.name not in {".lock", ".owner.json", "slurm"} and p.stem.partition(".")[0] != "prepare"
            for p in self.path.iterdir()
        ):
            raise UserError(f"--out {self.path} is not empty and is not a run of una-bench. Choose another folder.")
        storage.writable(self.path)

    def _info(self) -> dict[str, Any]:
        try:
            info = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            info = None
        if not isinstance(info, dict):
            raise UserError(f"{self.path / 'run.json'} is damaged. Choose another --out, or delete the folder.")
        reader.refuse_newer(info, self.path / "run.json")
        return info

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder for writing; a second run gets a `UserError` with the process and time of the first."""
        owner = self.path / ".owner.json"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = storage.read_json(owner) or {}
            raise UserError(
                f"{self.path} is in use by process {holder.get('pid', 'unknown')} since "
                f"{holder.get('since', 'an unknown time')}. Wait for it to end, or choose another --out."
            ) from None
        try:
            storage.write_json(owner, {"pid": os.getpid(), "since": now()})
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def records(self, plan: Plan) -> list[Record]:
        """Return the last record of each cell of ``plan``, in the plan's order."""
        by_key = {r.key: r for r in reader.records(self.path)}
        return [by_key[c.key] for c in plan.cells if c.key in by_key]

    def append(self, record: Record) -> None:
        """Append one record."""
        storage.append_record(self.path, record)

    def cell(self, cell: Cell) -> Path:
        """Return the folder of one cell."""
        return self.path / "cells" / cell.folder

    def result(self, cell: Cell, stage: str) -> dict[str, Any] | None:
        """Return the result of ``stage`` (``trained`` or ``evaluated``) of a cell.

        None if it is absent, damaged, or from other code than ``cell.code``.
        """
        value = storage.read_json(self.cell(cell) / f"{stage}.json")
        stages = code_facts.TRAINING if stage == "trained" else code_facts.EVALUATION
        same = value and value.get("key") == cell.key and value.get("code") == code_facts.part(cell.code, stages)
        return value if same else None

    def trained(self, cell: Cell) -> dict[str, Any] | None:
        """Return the result of training, None if it or its checkpoint is absent or damaged."""
        result = self.result(cell, "trained")
        if result is None or not result["checkpoint"]:
            return result
        folder = self.cell(cell) / result["checkpoint"]
        expected = result["facts"].get("final_weights_sha256")
        intact = folder.is_dir() and expected in (None, fairness_facts.checkpoint_sha256(folder))
        return result if intact else None

    def preparation(self) -> str:
        """Return the hash of the code that prepared what cells were trained on here, empty where it is not noted."""
        noted = str(self._info().get("preparation", "")) if (self.path / "run.json").is_file() else ""
        return noted if code_facts.HASH.fullmatch(noted) else ""

    def write_time(self, spent: dict[str, float]) -> None:
        """Write the time accounting of the last call that trained something to ``run.json``."""
        info = self._info() | {"time": spent}
        storage.write_text(self.path / "run.json", json.dumps(info, indent=1, sort_keys=True) + "\n")

    def write_info(self, plan: Plan, manifest: dict[str, Any], *, command: str, baseline: str) -> None:
        """Write ``run.json`` and ``recipe.yaml``; command and baseline of the first call are kept."""
        recipe = plan.recipe
        before = self._info() if (self.path / "run.json").exists() else {}
        info = {
            "schema": 1,
            "suite": recipe.name,
            "about": recipe.about,
            "key": plan.key,
            "preparation": plan.preparation,
            "command": before.get("command", command),
            "baseline": before.get("baseline", baseline),
            "catalog": registry.method_names(),
            **({"draws": most} if (most := max(recipe.draws, before.get("draws", 1))) > 1 else {}),
            "methods": sorted({*before.get("methods", []), *recipe.methods}),
            "seeds": sorted({*before.get("seeds", []), *recipe.seeds}),
            "prepared": manifest,
            "frontier": manifest.get("frontier"),
            **({"time": before["time"]} if "time" in before else {}),
        }
        storage.write_text(self.path / "run.json", json.dumps(info, indent=1, sort_keys=True) + "\n")
        storage.write_text(self.path / "recipe.yaml", recipes.dump(recipe))
