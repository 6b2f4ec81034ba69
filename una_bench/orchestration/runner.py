"""Runner of a plan: preparation once, one process per training, separate evaluation, one record per cell."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.markup import escape

from una_bench.errors import UserError
from una_bench.interfaces import registry, trl_source
from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.method import Feedback
from una_bench.interfaces.prepared import Prepared
from una_bench.orchestration import benchmark_checks, code_changes, engines, preparation
from una_bench.orchestration.cell_records import failed_record, finished_record, not_applicable_record
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.progress import Reporter
from una_bench.orchestration.run_folder import RunFolder, now
from una_bench.orchestration.time_accounting import Accounting
from una_bench.record import code_facts, storage
from una_bench.record.schema import Record, Status
from una_bench.suite import plan as plans
from una_bench.suite.plan import Cell, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Result of a run."""

    run: Path
    records: list[Record]
    trained: int
    """Number of cells that this call trained."""
    stopped: bool = False
    """Whether the user stopped it."""
    waiting: tuple[str, ...] = ()
    """Cells that are trained but, because of a stop, not evaluated."""
    time: Accounting | None = None
    """Time accounting of this call."""
    draws: tuple[Finished, ...] = ()
    """Results of the other draws of the problem."""

    @property
    def failed(self) -> list[Record]:
        """Records of cells that should have a result and have none."""
        return [r for r in self.records if r.status not in {Status.OK, Status.NOT_APPLICABLE}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a run that do not affect results."""

    quiet: bool = False
    retry_failed: bool = False
    """Repeat cells whose last record is a failure."""
    fail_fast: bool = False
    """Stop at the first failure."""
    executor: engines.Engine = engines.Engine.LOCAL
    """Where tasks are carried out."""
    command: str = ""
    report_to: tuple[str, ...] = ()
    """Experiment trackers that follow each training."""
    baseline: str = ""
    """Baseline of reports, if it is among the methods."""


class Runner:
    """One call of ``una-bench run``."""

    def __init__(self, plan: Plan, folder: RunFolder, options: Options) -> None:
        """Take the plan and its folder, which `RunFolder.check` has accepted."""
        self.plan = plan
        self.folder = folder
        self.options = options
        self.report = Reporter(quiet=options.quiet)
        self.device = engines.device(plan.recipe, options.executor)
        self.pool = engines.make(options.executor, plan.recipe, folder, listen=self.report.hear, device=self.device)
        self.time = Accounting(self.pool.workers)
        self.trained = 0
        self.gave_up = False
        self.started: dict[str, str] = {}
        self.prepared = Prepared(preparation.folder_of(plan))
        self.budgeted = plan
        """The plan with its budget in responses, once the data is prepared."""
        self.unfinished: set[str] = set()
        """Keys of cells to evaluate again."""
        self.not_applicable: dict[str, tuple[str, str]] = {}
        """Why a cell cannot be trained with these data or this TRL and what to do, by name."""
        benchmarks = [registry.benchmark(name) for name in plan.recipe.benchmarks]
        self.evaluates = any(benchmark.evaluate is not Benchmark.evaluate for benchmark in benchmarks)

    def run(self) -> Finished:
        """Train and evaluate the missing cells, write their records, and return all records."""
        with self.folder.hold(), self.report, self._signals():
            log, options = self.folder.path / "prepare.log", self.options
            engines.check(self.pool)
            self.prepared = preparation.ensure(self.plan, self.pool, log=log, say=self.report.say)
            if self.pool.import_seconds:  # something had to be prepared
                self.time.once_seconds = self.time.clock() - self.time.began
            manifest = self.prepared.manifest
            self.not_applicable = self._not_applicable()
            self.folder.write_info(self.plan, manifest, command=options.command, baseline=options.baseline)
            if self.plan.recipe.budget.epochs is not None:
                self.budgeted = self.plan.with_responses(self.prepared.responses_to_train_on)
                self.report.say(f"Budget: {self.budgeted.recipe.budget.responses} responses for every method")
            for line in self.budgeted.notes():
                self.report.say(escape(line))
            self._note_kept()
            self._leave_out(self.not_applicable)
            if self.options.retry_failed:
                self._ask_again()
            missing = self._missing()
            if missing:
                log = self.folder.path / "check.log"
                benchmark_checks.check(self.plan, self.prepared, self.pool, device=self.device, log=log)
                self._train([c for c in missing if not self.folder.trained(c)])
                self.time.once_seconds = self.time.once_seconds or self.pool.import_seconds
                self._evaluate([c for c in self._missing() if self.folder.result(c, "trained")])
            records = self.folder.records(self.plan)
        stopped = self.pool.stopping and not self.gave_up
        waiting = [c.name for c in self._missing() if self.folder.result(c, "trained") and not self._evaluated(c)]
        return Finished(
            run=self.folder.path,
            records=records,
            trained=self.trained,
            stopped=stopped,
            waiting=tuple(waiting) if stopped else (),
            time=self.time,
        )

    def _missing(self) -> list[Cell]:
        """Return the cells without a result of this code; failures count as results unless they are retried."""
        last = {r.key: r for r in self.folder.records(self.plan)}
        final = {Status.OK, Status.NOT_APPLICABLE} if self.options.retry_failed else set(Status) - {Status.INTERRUPTED}
        return [
            c
            for c in self.plan.cells
            if c.key not in last
            or last[c.key].status not in final
            or (last[c.key].status is Status.NOT_APPLICABLE and c.name not in self.not_applicable)  # no longer
            or code_changes.of_record(last[c.key], c)
            or (c.key in self.unfinished)
        ]

    def _ask_again(self) -> None:
        """Forget evaluations in which a benchmark could not give a number, so that it is run again."""
        records = {r.key: r for r in self.folder.records(self.plan)}
        for cell in self.plan.cells:
            if cell.key in records and benchmark_checks.unfinished(records[cell.key]):
                (self.folder.cell(cell) / "evaluated.json").unlink(missing_ok=True)
                self.unfinished.add(cell.key)

    def _note_kept(self) -> None:
        """Update facts of records that this run keeps: ``code``, where it is other code, and those of the plan."""
        cells = {c.key: c for c in self.plan.cells}
        for record in self.folder.records(self.plan):
            cell = cells[record.key]
            wanted = {**cell.facts, **({"code": cell.code} if record.facts.get("code") else {})}
            stale = any(record.facts.get(name) != value for name, value in wanted.items())
            if stale and not code_changes.of_record(record, cell):
                self.folder.append(record.model_copy(update={"facts": {**record.facts, **wanted}}))

    def _not_applicable(self) -> dict[str, tuple[str, str]]:
        """Return the reason and the advice by name of each cell that the data or the installed TRL cannot train.

        Raises:
            UserError: No method that trains is left.
        """
        without = self.prepared.manifest.get("not_applicable", {})

        def reason(name: str) -> tuple[str, str] | None:
            kind = registry.method(name)
            lacking = trl_source.missing(kind.trainer, kind.last_trl)
            return lacking or ((without[kind.feedback], "") if kind.feedback in without else None)

        cells = [(cell, reason(cell.method)) for cell in self.plan.cells if cell.trains]
        if cells and all(why for _, why in cells):
            lines = dict.fromkeys(f"{cell.label}: {why[0]}" for cell, why in cells if why)
            trained = (n for n in registry.method_names() if registry.method(n).feedback is not Feedback.NONE)
            cannot = "be trained here" if any(why[1] for _, why in cells if why) else "learn from the data"
            raise UserError(
                f"No method of this run can {cannot} ({'; '.join(lines)}). Choose among --methods "
                f"{','.join(name for name in trained if not reason(name))}."
            )
        return {cell.name: why for cell, why in cells if why}

    def _leave_out(self, reasons: Mapping[str, tuple[str, str]]) -> None:
        """Write the records of cells that are not trained."""
        for cell in self._missing():
            if why := reasons.get(cell.name):
                kind = "not run" if why[1] else "not applicable"
                self.report.say(f"[yellow]{kind}[/yellow] {escape(cell.name)}: {escape('. '.join(filter(None, why)))}")
                self.folder.append(not_applicable_record(self._common(cell), *why))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """On the first SIGINT or SIGTERM stop where cells can be resumed, on the second stop at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.pool.stopping:
                self.pool.at_once = True
                raise KeyboardInterrupt
            self.pool.stop()
            with suppress(RuntimeError):  # the signal may interrupt printing
                self.report.say(self.pool.stop_note)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _train(self, cells: list[Cell]) -> None:
        """Train each cell in a new process."""
        by_name = {c.name: c for c in cells}
        self.report.expect(len(cells), f"Training {len(cells)} cells")

        def ended(outcome: Outcome) -> None:
            cell = by_name[outcome.task.name]
            self.time.trained(outcome, self.folder.result(cell, "trained"))
            self.report.finish(cell.name)
            if outcome.status is Status.OK:
                self.trained += cell.trains
                self.report.say(f"trained {escape(cell.name)} in {outcome.seconds:.0f} s")
                if not self.evaluates:
                    self._complete(cell)
            else:
                self._fail(cell, outcome, "train")

        self.pool.run([self._train_task(cell) for cell in self.plan.longest_first(cells)], ended)

    def _fail(self, cell: Cell, outcome: Outcome, phase: str) -> None:
        self.report.say(f"[red]{outcome.status}[/red] {escape(cell.name)} ({phase}): {escape(outcome.reason)}")
        self.folder.append(failed_record(self._common(cell), outcome, phase))
        if self.options.fail_fast and not self.pool.stopping:
            self.gave_up = True
            self.pool.give_up()

    def _train_task(self, cell: Cell) -> Task:
        out = self.folder.cell(cell)
        code = code_facts.part(cell.code, code_facts.TRAINING)
        spec = {
            "key": cell.key,
            "code": code,
            "method": cell.method,
            "settings": self.budgeted.settings(cell),
            "job": {
                **self._job_facts(cell),
                "seed": cell.seed,
                "checkpoint_minutes": self.plan.recipe.checkpoint_minutes,
                "report_to": self.options.report_to,
            },
            "prepared": str(self.prepared.path),
            "out": str(out.resolve()),
            "benchmarks": self.plan.recipe.benchmarks,
            "evaluate_points": self.plan.recipe.evaluate_points,
        }
        self.started[cell.key] = now()
        limit = self.plan.recipe.timeout_minutes * 60
        task = Task(kind="train", name=cell.name, spec=spec, log=out / "train.log", timeout_seconds=limit)
        if not self.pool.holds(task):
            self._clear(out, code)
        return task

    @staticmethod
    def _clear(out: Path, code: dict[str, Any]) -> None:
        """Remove what must not remain in the folder of a cell when its training starts or resumes."""
        begun = storage.read_json(out / "begun.json") or {}
        if begun.get("code") != code:  # a training does not resume with other code
            shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        storage.write_json(out / "begun.json", {"code": code})
        shutil.rmtree(out / "checkpoint", ignore_errors=True)  # incomplete after a killed training, or damaged
        for stage in ("trained", "evaluated"):
            (out / f"{stage}.json").unlink(missing_ok=True)

    def _job_facts(self, cell: Cell) -> dict[str, Any]:
        """Return the job of a cell without paths, for its record."""
        manifest = self.prepared.manifest
        lengths = (int(manifest["max_prompt_length"]), int(manifest["max_new_tokens"]))
        out = self.folder.cell(cell)
        job = plans.job(self.budgeted, cell, prepared=self.prepared.path, out=out, device=self.device, lengths=lengths)
        return plans.job_facts(job)

    def _evaluate(self, cells: list[Cell]) -> None:
        """Evaluate cells, locally in one process per worker; after a crash continue with those that remain."""
        todo = {c.name: c for c in cells if not self._complete(c)}
        self.report.expect(len(todo), f"Evaluating {len(todo)} checkpoints")
        while todo and not self.pool.stopping:
            processes = len(todo) if self.pool.separate else self.pool.workers
            parts = [list(todo.values())[i::processes] for i in range(processes)]
            outcomes: list[Outcome] = []

            def ended(outcome: Outcome, outcomes: list[Outcome] = outcomes) -> None:
                outcomes.append(outcome)
                self.time.evaluated(outcome, outcome.result.get("seconds", outcome.seconds))

            self.pool.run([self._evaluate_task(part, i) for i, part in enumerate(parts) if part], ended)
            for outcome in outcomes:
                self._settle(outcome, todo)

    def _settle(self, outcome: Outcome, todo: dict[str, Cell]) -> None:
        """Write the records of one evaluation process; the cell that ended it fails, later ones remain in ``todo``."""
        for name in [spec["name"] for spec in outcome.task.spec["cells"]]:
            if self._complete(todo[name]):
                del todo[name]
            elif outcome.status is not Status.OK:
                self._fail(todo.pop(name), outcome, "evaluate")
                return

    def _evaluate_task(self, cells: list[Cell], number: int) -> Task:
        specs = [
            {
                "name": c.name,
                "key": c.key,
                "code": code_facts.part(c.code, code_facts.EVALUATION),
                "seed": c.seed,
                "out": str(self.folder.cell(c).resolve()),
                "checkpoint": (self.folder.result(c, "trained") or {})["checkpoint"],
            }
            for c in cells
        ]
        spec = {
            "cells": specs,
            "prepared": str(self.prepared.path),
            "device": self.device,
            "benchmarks": self.plan.recipe.benchmarks,
        }
        limit = self.plan.recipe.timeout_minutes * 60 * len(cells)
        name, log = f"evaluate-{number}", self.folder.path / f"evaluate-{number}.log"
        if self.pool.separate:
            name, log = f"evaluate-{cells[0].name}", self.folder.cell(cells[0]) / "evaluate.log"
        return Task(kind="evaluate", name=name, spec=spec, log=log, timeout_seconds=limit)

    def _complete(self, cell: Cell) -> bool:
        """Append the record of a cell and return True if it is trained and evaluated."""
        trained, evaluated = self.folder.result(cell, "trained"), self._evaluated(cell)
        if trained is None or evaluated is None:
            return False
        self.folder.append(finished_record(self._common(cell), trained, evaluated))
        self.unfinished.discard(cell.key)
        return True

    def _evaluated(self, cell: Cell) -> dict[str, Any] | None:
        """Return the result of the evaluation of a cell, an empty one if no benchmark evaluates."""
        return self.folder.result(cell, "evaluated") if self.evaluates else {"measurements": [], "seconds": 0.0}

    def _common(self, cell: Cell) -> dict[str, Any]:
        """Return the fields common to all records of a cell."""
        return {
            "run": self.folder.path.name,
            "suite": self.plan.recipe.name,
            "cell": cell.name,
            "key": cell.key,
            "method": cell.method,
            "variant": cell.variant,
            "label": cell.label,
            "seed": cell.seed,
            "settings": self.budgeted.settings(cell),
            "settings_changed": cell.settings_changed,
            "job": self._job_facts(cell),
            "facts": {
                "code": cell.code,
                "prepared": preparation.facts(self.plan, self.prepared),
                **({"fitted": fitted} if (fitted := self.budgeted.fitted(cell)) else {}),
                **cell.facts,
            },
            "started": self.started.get(cell.key, now()),
        }
