"""Trials of a tuned run, read from its folder: their results, the winners, and what more trials are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from una_bench.analysis import best_of_trials
from una_bench.analysis.best_of_trials import BestOf
from una_bench.errors import UserError
from una_bench.record import reader, storage
from una_bench.record.schema import Better, Record, Status

FILE = "tuning.json"
TRIALS, TUNED = "tuning", "tuned"
"""Folders of the trials and of the winners in the folder of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a method."""

    drawn: Mapping[str, float]
    at_edge: tuple[str, ...]
    """Settings whose value is at the edge of their range."""
    records: tuple[Record, ...]
    trainings: int
    """Records that it should have."""
    metric: str

    @property
    def value(self) -> float | None:
        """Mean of the metric over its trainings; None unless all of them have it."""
        values = [m.value for r in self.records for m in r.measurements if m.metric == self.metric and m.samples]
        return fmean(values) if len(values) == self.trainings else None

    @property
    def seconds(self) -> float:
        """Seconds of training, those of failed ones included."""
        return sum(float(r.facts.get("training_seconds", r.seconds)) for r in self.records)

    @property
    def waiting(self) -> bool:
        """Whether some of its trainings have no result yet."""
        ended = [r for r in self.records if r.status is not Status.INTERRUPTED]
        return len(ended) < self.trainings


@dataclass(frozen=True, kw_only=True)
class Search:
    """All trials of one method and variant."""

    method: str
    variant: str
    label: str
    space: Mapping[str, tuple[float, float]]
    trials: tuple[Trial, ...]
    better: Better
    untrained: float | None
    """Value of the untrained policy, which is what a failed trial leaves."""
    at_defaults: tuple[float, ...]
    """Values at the suite's own settings, by seed."""

    @property
    def complete(self) -> bool:
        """Whether every trial has ended."""
        return not any(trial.waiting for trial in self.trials)

    @cached_property
    def measured(self) -> dict[int, float]:
        """Number of each trial with a value -> the value."""
        return {i: trial.value for i, trial in enumerate(self.trials) if trial.value is not None}

    @property
    def failed(self) -> int:
        """Trials without a value."""
        return len(self.trials) - len(self.measured)

    @property
    def values(self) -> list[float]:
        """Value of every trial; a failed one has that of the untrained policy, or the worst where that is unknown."""
        measured = list(self.measured.values())
        worst = min(measured) if self.higher else max(measured)
        left = worst if self.untrained is None else self.untrained
        return [self.measured.get(i, left) for i in range(len(self.trials))]

    @property
    def higher(self) -> bool:
        """Whether higher values are better."""
        return self.better is Better.HIGHER

    @property
    def chosen(self) -> int | None:
        """Number of the trial with the best value, the first of equal ones; None if all failed."""
        if not self.measured:
            return None
        return (max if self.higher else min)(self.measured, key=self.measured.__getitem__)

    @property
    def seconds_per_trial(self) -> float:
        """Mean seconds of training of a trial."""
        return fmean(trial.seconds for trial in self.trials)

    def expected_best(self) -> list[BestOf]:
        """Return the expected best of 1, 2, … trials; empty if all failed."""
        if not self.measured:
            return []
        return [best_of_trials.of_trials(self.values, n + 1, higher=self.higher) for n in range(len(self.trials))]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Everything that a tuned run says."""

    metric: str
    better: Better
    trials: int
    trainings_per_trial: int
    budget_share: float
    searches: tuple[Search, ...]
    tuned: tuple[Record, ...]
    """Records of the winners, trained with the suite's seeds."""


def write(run: Path, content: Mapping[str, Any]) -> None:
    """Write ``tuning.json``: metric and direction, trials, and each search with its space and the keys of its cells."""
    storage.write_json(run / FILE, {"schema": 1, **content})


def read(run: Path) -> Tuning | None:
    """Return the tuning of a run, None if it was not tuned.

    Raises:
        UserError: Its file is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return None
    content = storage.read_json(path)
    if content is None:
        raise UserError(f"{path} is damaged. Repeat the run's command to write it again; no trial is lost.")
    reader.refuse_newer(content, path)
    defaults, by_key = reader.records(run), {r.key: r for r in _records(run / TRIALS)}
    metric, better = content["metric"], Better(content["better"])
    untrained = [v for r in defaults if not reader.trained(r) for v in _values([r], metric)]
    return Tuning(
        metric=metric,
        better=better,
        trials=content["trials"],
        trainings_per_trial=content["trainings_per_trial"],
        budget_share=content["budget_share"],
        searches=tuple(
            Search(
                method=one["method"],
                variant=one["variant"],
                label=one["label"],
                space={name: (ends[0], ends[1]) for name, ends in one["space"].items()},
                trials=tuple(_trial(trial, by_key, metric) for trial in one["trials"]),
                better=better,
                untrained=untrained[0] if untrained else None,
                at_defaults=tuple(_values(_of(defaults, one), metric)),
            )
            for one in content["searches"]
        ),
        tuned=tuple(_records(run / TUNED)),
    )


def _records(run: Path) -> list[Record]:
    return reader.records(run)


def _of(records: Sequence[Record], search: Mapping[str, Any]) -> list[Record]:
    return [r for r in records if (r.method, r.variant) == (search["method"], search["variant"])]


def _values(records: Sequence[Record], metric: str) -> list[float]:
    return [m.value for r in records for m in r.measurements if m.metric == metric and m.samples]


def _trial(content: Mapping[str, Any], by_key: Mapping[str, Record], metric: str) -> Trial:
    return Trial(
        drawn=content["drawn"],
        at_edge=tuple(content["at_edge"]),
        records=tuple(by_key[key] for key in content["keys"] if key in by_key),
        trainings=len(content["keys"]),
        metric=metric,
    )
