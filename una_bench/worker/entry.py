"""Tasks of a worker process: preparation, training of one cell, evaluation of checkpoints."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from una_bench.errors import UserError
from una_bench.instruments import peak_memory, phases
from una_bench.instruments.fairness_facts import checkpoint_sha256
from una_bench.instruments.probe import Probe
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Benchmark, Checkpoint
from una_bench.interfaces.method import Job, Lora, Method
from una_bench.interfaces.prepared import Prepared
from una_bench.machine import process_tuning, processes, stop_request
from una_bench.record import storage
from una_bench.record.schema import Better, Curve
from una_bench.worker import launch

Spec = Mapping[str, Any]
NO_ROOM_BYTES = 2**20
"""Free space below this counts as a full disk."""
AT_ONCE = {"prepare", "check"}
"""Tasks that can be interrupted at any point, because they save nothing when stopped early."""
NOT_MEASURED = {"prepare", "check", "evaluate"}
"""Tasks whose memory no table compares."""


def main(task: str, spec: Spec, pipe: Connection, log: str) -> None:
    """Run one task; output goes to the log, progress and then ``("done", ...)`` or ``("failed", ...)`` to the pipe."""
    try:
        stop_request.listen(at_once=task in AT_ONCE)
        _redirect(Path(log))
        pin(spec)
        if task in NOT_MEASURED:
            process_tuning.keep_freed_memory()
        result = _task(task)(spec, pipe)
    except stop_request.Interrupted as error:
        pipe.send(("stopped", str(error)))
        return
    except BaseException as error:  # noqa: BLE001 - every error must become a status
        with contextlib.suppress(OSError):  # the log may be on the disk that is full
            traceback.print_exc()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            pipe.send(("failed", failure(error, Path(log).parent)))
        # Skip interpreter teardown: a broken state must not hang the run.
        os._exit(1)
    pipe.send(("done", result))


def _task(name: str) -> Callable[[Spec, Connection], dict[str, Any]]:
    """Return the function of a task: one of this module's, or ``package.module:function``."""
    module, colon, function = name.rpartition(":")
    task: Callable[[Spec, Connection], dict[str, Any]] = getattr(import_module(module if colon else __name__), function)
    return task


def failure(error: BaseException, folder: Path) -> dict[str, Any]:
    """Return what a worker reports of an error: its type, its reason, and where it happened."""
    if isinstance(error, launch.RankFailedError):
        return error.facts
    return {"type": type(error).__name__, "reason": _reason(error, folder), **phases.notes(error)}


def _reason(error: BaseException, folder: Path) -> str:
    """Return the first line of an error, or more of a validation error, with a note if the disk of ``folder`` is full.

    Libraries report a full disk in various ways, so the free space is checked.
    """
    if isinstance(error, UserError):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    reason = f"{type(error).__name__}: {' '.join(lines[:3]) if isinstance(error, ValidationError) else lines[0]}"
    full = os.strerror(errno.ENOSPC)
    with contextlib.suppress(OSError):
        if full not in reason and shutil.disk_usage(folder).free < NO_ROOM_BYTES:
            return f"{reason} ({full})"
    return reason


def _redirect(log: Path) -> None:
    """Send this process's output, C libraries included, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)


def pin(spec: Spec) -> None:
    """Pin a cell to its own cores and card, so that parallel cells take none of its time and memory."""
    if "card" in spec:  # before anything asks the driver, which reads it once
        os.environ["CUDA_VISIBLE_DEVICES"] = spec["card"]
    cores = spec.get("cores")
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)
    if "torch" in sys.modules:  # if imported by the fork server; else it reads OMP_NUM_THREADS
        sys.modules["torch"].set_num_threads(int(spec.get("threads", 1)))


def prepare(spec: Spec, pipe: Connection) -> dict[str, Any]:
    """Fill the prepared folder atomically, so that a killed preparation leaves no incomplete one."""
    out = Path(spec["out"])
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    beside.mkdir(parents=True)
    registry.problem(spec["problem"]).prepare(beside, lambda text: pipe.send(("say", text)))
    beside.rename(out)
    return {}


def _benchmarks(spec: Spec, prepared: Prepared) -> dict[str, Benchmark]:
    benchmarks = {name: registry.benchmark(name)(**settings) for name, settings in spec["benchmarks"].items()}
    return {name: benchmark for name, benchmark in benchmarks.items() if benchmark.applies(prepared)}


def _job(spec: Spec) -> Job:
    values = dict(spec["job"])
    lora = values.pop("lora")
    values.update(prepared=Path(spec["prepared"]), out=Path(spec["out"]), method=spec["method"])
    values.update(lora=Lora(**lora) if lora else None)
    return Job(**values)


def check(spec: Spec, pipe: Connection) -> dict[str, Any]:
    """Let the benchmarks refuse, before any training, what the prepared folder does not provide."""
    prepared = Prepared(Path(spec["prepared"]))
    for benchmark in _benchmarks(spec, prepared).values():
        benchmark.check(prepared, str(spec["device"]))
    return {}


def train(spec: Spec, pipe: Connection) -> dict[str, Any]:
    """Train one cell in this process, or on several that it starts."""
    if spec["job"].get("processes", 1) > 1:
        return launch.train(spec, pipe)
    return train_here(spec, pipe)


def train_here(spec: Spec, pipe: Connection) -> dict[str, Any]:
    """Train one cell with the instruments and write ``trained.json`` to its folder.

    Of several processes each calls this, and the first one writes.
    """
    from transformers import set_seed

    from una_bench.machine import environment
    from una_bench.worker import first_touch

    job = _job(spec)
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(job.out / "tensorboard"))  # used with report_to
    prepared = Prepared(job.prepared)
    benchmarks = _benchmarks(spec, prepared)
    method = registry.method(spec["method"])(**spec["settings"])
    for name in method.preload:  # here already, where the fork server has it
        import_module(name)
    points = int(spec["evaluate_points"])
    first_touch.touch_code()
    probe = Probe(
        device=job.device,
        evaluate_at=job.budget.points(points),
        axis=job.budget.kind,
        watchers=[
            lambda policy, b=b: b.watch(policy, prepared)  # type: ignore[misc]
            for b in (benchmarks.values() if processes.is_first() else ())
        ],
        on_step=_after_step(benchmarks, pipe, job),
    )
    probe.facts["precision"] = job.precision
    set_seed(job.seed)
    imported = set(sys.modules)
    started = time.perf_counter()
    try:
        checkpoint = method.train(job, probe) if isinstance(method, Method) else job.prepared
    except BaseException as error:
        phases.note(error, step=probe.totals["optimizer_steps"])
        raise
    probe.join_processes()
    late = {name.partition(".")[0] for name in sys.modules.keys() - imported}
    if strange := sorted(late - {name.partition(".")[0] for name in imported} - sys.stdlib_module_names):
        probe.facts["packages_imported_while_training"] = strange
    trained = probe.totals["optimizer_steps"] > 0
    result = {
        "checkpoint": "" if checkpoint == prepared.policy else str(checkpoint.relative_to(job.out)),
        "seconds": time.perf_counter() - started,
        "measurements": _measured(probe, benchmarks) if trained else [],
        "curves": [c.model_dump(mode="json") for c in _described(probe, benchmarks)],
        "steps": probe.step_samples().model_dump(mode="json"),
        "phase_seconds": {name: peak.seconds for name, peak in probe.peaks.items() if peak.times},
        "facts": _facts(probe) | _final(checkpoint),
        "environment": environment.describe(job.device),
        "key": spec["key"],
        "code": spec.get("code", {}),
    }
    if processes.is_first():
        storage.write_json(job.out / "trained.json", result)
    return {"seconds": result["seconds"]}


def _final(checkpoint: Path) -> dict[str, str]:
    digest = checkpoint_sha256(checkpoint)
    return {} if digest is None else {"final_weights_sha256": digest}


def _measured(probe: Probe, benchmarks: Mapping[str, Benchmark]) -> list[dict[str, Any]]:
    """Return the readings of the instruments, with what else they hold in resumed trainings and late imports."""
    measured = [m for b in benchmarks.values() for m in b.read(probe)]
    times = int(probe.facts.get("resumed", 0))
    notes = [f"resumed {times} times; the time between two processes is not counted"] if times else []
    strange = ", ".join(probe.facts.get("packages_imported_while_training", ()))
    notes += [f"includes the import of {strange} while training"] if strange else []
    return [
        m.model_copy(update={"how": "; ".join(filter(None, [m.how, *notes]))}).model_dump(mode="json") for m in measured
    ]


def _facts(probe: Probe) -> dict[str, Any]:
    totals: dict[str, float] = {("responses_trained" if k == "responses" else k): v for k, v in probe.totals.items()}
    totals |= {"tokens_trained": probe.used("tokens"), "training_seconds": probe.used("seconds")}
    totals |= {"flops": probe.used("flops")} if probe.flops else {}
    return {**totals, **probe.facts, "imports": "shared" if "una_bench.worker.preload" in sys.modules else "own"}


def _described(probe: Probe, benchmarks: Mapping[str, Benchmark]) -> list[Curve]:
    """Return the curves, with unit and direction if their benchmark states them."""
    units: dict[str, tuple[str, Better]] = {}
    for benchmark in benchmarks.values():
        units.update(getattr(benchmark, "units", {}))
    return [
        curve.model_copy(update=dict(zip(("unit", "better"), units[curve.metric], strict=True)))
        if curve.metric in units
        else curve
        for curve in probe.trace.record()
    ]


def _after_step(benchmarks: Mapping[str, Benchmark], pipe: Connection, job: Job) -> Callable[[Probe], None]:
    """Report progress at most ten times a second, then tell the benchmarks of the step."""
    last = [0.0]

    def after(probe: Probe) -> None:
        now = time.monotonic()
        if now - last[0] >= 0.1:
            last[0] = now
            with contextlib.suppress(OSError):
                done = min(1.0, job.budget.fraction(probe))
                pipe.send(("step", {"done": done, "step": probe.totals["optimizer_steps"]}))
        for benchmark in benchmarks.values():
            benchmark.after_step(probe)

    return after


def evaluate(spec: Spec, pipe: Connection) -> dict[str, Any]:
    """Evaluate checkpoints sequentially, and write ``evaluated.json`` to each cell's folder."""
    from transformers import set_seed

    began = time.perf_counter()
    prepared = Prepared(Path(spec["prepared"]))
    benchmarks = _benchmarks(spec, prepared)
    device = str(spec["device"])
    meter = peak_memory.meter(device)
    for benchmark in benchmarks.values():
        benchmark.prepare(prepared, device)
    for cell in spec["cells"]:
        stop_request.check()
        pipe.send(("begin", cell["name"]))
        started = time.perf_counter()
        set_seed(0)
        out = Path(cell["out"])
        path = out / cell["checkpoint"] if cell["checkpoint"] else prepared.policy
        checkpoint = Checkpoint(path=path, prepared=prepared, out=out, device=device, seed=cell["seed"])
        measured, costs = [], {}
        for name, benchmark in benchmarks.items():
            meter.reset()
            begun = time.perf_counter()
            if found := benchmark.evaluate(checkpoint):
                costs[name] = {"seconds": time.perf_counter() - begun, "peak_bytes": meter.peak().bytes}
            measured += found
        result = {
            "key": cell["key"],
            "code": cell["code"],
            "seconds": time.perf_counter() - started,
            "measurements": [m.model_dump(mode="json") for m in measured],
            "facts": {**checkpoint.facts, "evaluation": costs},
        }
        storage.write_json(out / "evaluated.json", result)
        pipe.send(("end", cell["name"]))
    return {"seconds": time.perf_counter() - began}
