"""Saving and resuming of a training after a kill or a stop request, bit-identical on CPU.

A state is saved only right after the trainer has logged, when its running means are reset: the curves of a resumed
training then equal those of an uninterrupted one.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.machine import processes, stop_request
from una_bench.record import sealed_folder

if TYPE_CHECKING:
    from una_bench.instruments.probe import Probe
    from una_bench.interfaces.method import Job

KEPT = 2
"""States to keep: the newest, and the one before in case that is damaged."""


def _states(folder: Path) -> list[Path]:
    """Return the saved states, newest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)


def folder_of(job: Job) -> Path:
    """Return the folder of a cell's saved states."""
    return job.out / "trainer"


def last_state(folder: Path) -> Path | None:
    """Return the newest complete ``checkpoint-N`` in ``folder``; incomplete ones are removed."""
    for state in _states(folder):
        if not sealed_folder.damage(state):
            return state
        shutil.rmtree(state)
    return None


def callback(probe: Probe, job: Job, every: int = 1) -> Any:
    """Return the callback that saves a state every ``job.checkpoint_minutes`` and on a stop request.

    It does so only after a multiple of ``every`` steps.
    """
    from transformers import TrainerCallback

    class Saving(TrainerCallback):
        saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            finished = state.global_step >= state.max_steps or control.should_training_stop
            if finished or state.global_step % args.logging_steps or state.global_step % every:
                return
            asked, due = stop_request.requested(), time.monotonic() - self.saved > job.checkpoint_minutes * 60
            votes = processes.total({"asked": int(asked), "due": int(due)})
            stop = votes["asked"] > 0
            if stop or votes["due"]:
                control.should_save = True
                control.should_training_stop = control.should_training_stop or stop
            if stop:
                stop_request.request()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.saved = time.monotonic()
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            probes = processes.gather(probe.state())  # all have written, too
            if processes.is_first():
                others = {"probes": probes[1:]} if len(probes) > 1 else {}
                facts = {"probe": probes[0], "resumed": int(probe.facts.get("resumed", 0)), **others}
                sealed_folder.write(folder, **facts)
                for older in _states(folder.parent)[KEPT:]:
                    shutil.rmtree(older)
            processes.wait()

    return Saving()


def train(trainer: Any, probe: Probe, job: Job) -> None:
    """Train from the last saved state, if there is one; raise `Interrupted` on a stop request.

    A trainer that cannot save its current rollout says how many steps one is for: ``steps_per_rollout``.
    """
    folder = Path(trainer.args.output_dir)
    trainer.add_callback(callback(probe, job, getattr(trainer, "steps_per_rollout", 1)))
    state = processes.agreed(last_state(folder) if processes.is_first() else None)
    if state is not None:
        seal = sealed_folder.read(state)
        assert seal is not None, "last_state returns sealed folders only"
        probe.restore([seal["probe"], *seal.get("probes", ())][processes.rank()])
        probe.facts["resumed"] = int(seal.get("resumed", 0)) + 1
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if trainer.state.global_step < trainer.state.max_steps and not job.budget.spent(probe):
        stop_request.check()
    processes.wait()
    if processes.is_first():
        shutil.rmtree(folder, ignore_errors=True)
