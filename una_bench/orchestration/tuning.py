"""Stages of a tuned run: the suite's own settings, the trials, and the winners with the suite's seeds.

All three are runs: ``RUN`` itself, ``RUN/tuning`` and ``RUN/tuned``, carried out, resumed and recorded like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from una_bench.analysis import tuning
from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.interfaces.method import Method
from una_bench.orchestration import code_changes
from una_bench.orchestration.run_folder import RunFolder
from una_bench.orchestration.runner import Finished, Options, Runner
from una_bench.record import reader
from una_bench.record.schema import Status
from una_bench.suite import search, tune_settings
from una_bench.suite.plan import Plan
from una_bench.suite.search import Name, Search


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One of the three runs, as it ended."""

    name: str
    finished: Finished

    @property
    def failed(self) -> bool:
        """Whether cells failed; a trial that diverged is a result."""
        spent = {Status.DIVERGED} if self.name == tuning.TRIALS else set()
        every = (self.finished, *self.finished.draws)
        return any(record.status not in spent for one in every for record in one.failed)


def stages(
    plan: Plan,
    folder: RunFolder,
    options: Options,
    first: Callable[[], Finished],
    *,
    keep_old_code: bool,
    note: Callable[[str], None],
) -> Iterator[Stage]:
    """Run and yield each stage, without ``tune`` only the first; those after a stopped one are left out.

    ``first`` runs the plan at the suite's own settings.

    Raises:
        UserError: A folder cannot be used, or no trial of any method has a result to choose by.
    """

    def run(name: str, of: Plan, into: RunFolder) -> Stage:
        if not options.quiet:
            note(f"Tuning: {len(of.cells)} cells in {into.path}")
        of = code_changes.keep(of, into) if keep_old_code else of
        for line in code_changes.notes(of, into):
            note(line)
        into.check(of)
        return Stage(name=name, finished=Runner(of, into, options).run())

    if not plan.recipe.tune:
        yield Stage(name="", finished=first())
        return
    searched = search.searches(plan)
    trials = search.trial_plan(plan, searched)
    usual = Stage(name="", finished=first())
    tuning.write(folder.path, _content(plan, searched, trials))
    yield usual
    if usual.finished.stopped or (options.fail_fast and usual.failed):
        return
    _require_metric(folder)
    second = run(tuning.TRIALS, trials, RunFolder(folder.path / tuning.TRIALS))
    yield second
    if second.finished.stopped or (options.fail_fast and second.failed):
        return
    winners = _winners(folder, searched)
    yield run(tuning.TUNED, search.tuned_plan(plan, winners), RunFolder(folder.path / tuning.TUNED))


def _require_metric(folder: RunFolder) -> None:
    """Refuse to search by a metric that no cell at the suite's settings has, before any trial is trained.

    Raises:
        UserError: There are cells without failure, none of which has it.
    """
    results = tuning.read(folder.path)
    assert results is not None
    records = [r for r in reader.records(folder.path) if r.status is Status.OK]
    measurements = [m for r in records for m in r.measurements]
    if records and not any(m.metric == results.metric and m.samples for m in measurements):
        why = next((m.how for m in measurements if m.metric == results.metric), "these data give none")
        ends = {m.metric for m in measurements if m.samples and m.metric.endswith(f".{tune_settings.SPLIT}")}
        choices = ", ".join(sorted(ends & tune_settings.metrics(registry.benchmark_names()).keys())) or "none"
        raise UserError(
            f"Trials cannot be chosen by {results.metric}: {why}. Choose another with --tune metric=NAME; measured "
            f"here on validation data: {choices}."
        )


def _content(plan: Plan, searched: list[Search], trials: Plan) -> dict[str, Any]:
    tune = plan.recipe.tune
    assert tune is not None
    metric = tune_settings.check_metric(tune, plan.recipe.benchmarks, plan.recipe.name)
    return {
        "metric": metric,
        "better": tune_settings.metrics(plan.recipe.benchmarks)[metric],
        "trials": tune.trials,
        "trainings_per_trial": tune.seeds,
        "budget_share": tune.budget_share,
        "searches": [
            {
                "method": one.method,
                "variant": one.variant,
                "label": one.label,
                "space": {name: [limits.low, limits.high] for name, limits in one.space.items()},
                "trials": [
                    {
                        "drawn": trial.drawn,
                        "at_edge": [name for name, value in trial.drawn.items() if one.space[name].at_edge(value)],
                        "keys": [cell.key for cell in cells],
                    }
                    for trial, cells in zip(one.trials, search.cells_of(one, trials), strict=True)
                ],
            }
            for one in searched
        ],
    }


def _winners(folder: RunFolder, searched: list[Search]) -> dict[Name, Method]:
    """Return the method with the settings of the best trial of each search; one whose trials all failed has none."""
    results = tuning.read(folder.path)
    assert results is not None
    winners = {
        (one.method, one.variant): one.trials[result.chosen].method
        for one, result in zip(searched, results.searches, strict=True)
        if result.chosen is not None
    }
    if not winners:
        raise UserError(
            f"No trial has a value of {results.metric} to choose by: every one failed. The logs are in "
            f"{folder.path / tuning.TRIALS / 'cells'}. Fix the cause, then run the same command with --retry failed."
        )
    return winners
