"""What benchmarks require, checked before anything starts and, in a worker, before any training."""

from __future__ import annotations

from pathlib import Path

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.prepared import DataSize, Prepared
from una_bench.orchestration.executor import Executor, Outcome, Task
from una_bench.orchestration.run_folder import RunFolder
from una_bench.record.schema import Record, Status
from una_bench.suite.plan import Plan

NOT_RUN = "not run"
"""How a benchmark begins to say that it gives a number when it is run again."""


def built(plan: Plan) -> list[Benchmark]:
    """Return the benchmarks of a plan with their settings."""
    return [registry.benchmark(name)(**settings) for name, settings in plan.recipe.benchmarks.items()]


def cells(plan: Plan) -> list[tuple[str, str]]:
    """Return method and variant of each cell."""
    return [(cell.method, cell.variant) for cell in plan.cells]


def require(plan: Plan, folder: RunFolder, *, connect: bool, retry: bool = False) -> None:
    """Refuse what a benchmark of the plan lacks; open connections only for cells that have no result yet."""
    done = {r.key for r in folder.records(plan) if r.status is Status.OK and not (retry and unfinished(r))}
    connect = connect and any(cell.key not in done for cell in plan.cells)
    for benchmark in built(plan):
        benchmark.require(cells(plan), connect=connect)


def overview(plan: Plan, data: DataSize | None) -> dict[str, str]:
    """Return the lines of the benchmarks on the screen before a run."""
    lines: dict[str, str] = {}
    for benchmark in built(plan):
        lines |= benchmark.overview(cells(plan), data)
    return lines


def unfinished(record: Record) -> bool:
    """Return whether a benchmark could not give a number now, but can when it is run again."""
    return any(not m.samples and m.how.startswith(NOT_RUN) for m in record.measurements)


def check(plan: Plan, prepared: Prepared, pool: Executor, *, device: str, log: Path) -> None:
    """Let the benchmarks look at the prepared folder in a worker; a UserError if one refuses it."""
    if all(type(one).check is Benchmark.check for one in built(plan)):
        return
    spec = {"prepared": str(prepared.path), "benchmarks": plan.recipe.benchmarks, "device": device}
    limit = plan.recipe.timeout_minutes * 60
    outcomes: list[Outcome] = []
    pool.run([Task(kind="check", name="check", spec=spec, log=log, timeout_seconds=limit, alone=True)], outcomes.append)
    if not outcomes or outcomes[0].status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if outcomes[0].status is not Status.OK:
        raise UserError(outcomes[0].reason)
