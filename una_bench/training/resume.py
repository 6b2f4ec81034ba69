"""Long trainings go on from where a kill or a request to stop left them, on CPU to the bit.

A state is saved only right after the trainer has logged, because its running means start anew there: the curves of a
resumed training then equal those of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.machine import stop_request
from una_bench.record import storage

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job

SEAL = "sealed.json"
KEPT = 2
"""States that are kept: the newest, and the one before should that be damaged."""


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a saved state but the seal."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _states(folder: Path) -> list[Path]:
    """Saved states, the newest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)


def folder_of(job: Job) -> Path:
    """Where the trainer of a cell keeps its states."""
    return job.out / "trainer"


def last_state(folder: Path) -> Path | None:
    """Return the newest whole ``checkpoint-N`` below ``folder``; half-written ones are removed."""
    for state in _states(folder):
        seal = storage.read_json(state / SEAL)
        if seal is not None and seal["files"] == _checksums(state):
            return state
        shutil.rmtree(state)
    return None


def callback(probe: Probe, job: Job) -> Any:
    """Return the callback that saves a state every ``job.checkpoint_minutes`` and when asked to stop."""
    from transformers import TrainerCallback

    class Saving(TrainerCallback):
        saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            over = state.global_step >= state.max_steps or control.should_training_stop
            if over or state.global_step % args.logging_steps:
                return
            asked = stop_request.requested()
            if asked or time.monotonic() - self.saved > job.checkpoint_minutes * 60:
                control.should_save = True
                control.should_training_stop = control.should_training_stop or asked

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.saved = time.monotonic()
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            times = int(probe.facts.get("resumed", 0))
            storage.write_json(folder / SEAL, {"files": _checksums(folder), "probe": probe.state(), "resumed": times})
            for older in _states(folder.parent)[KEPT:]:
                shutil.rmtree(older)

    return Saving()


def train(trainer: Any, probe: Probe, job: Job) -> None:
    """Train from the last saved state if there is one; raise `Interrupted` if asked to stop on the way."""
    folder = Path(trainer.args.output_dir)
    trainer.add_callback(callback(probe, job))
    state = last_state(folder)
    if state is not None:
        seal = storage.read_json(state / SEAL)
        assert seal is not None, "last_state returns sealed folders only"
        probe.restore(seal["probe"])
        probe.facts["resumed"] = int(seal.get("resumed", 0)) + 1
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if trainer.state.global_step < trainer.state.max_steps and not job.budget.spent(probe):
        stop_request.check()
    shutil.rmtree(folder, ignore_errors=True)
