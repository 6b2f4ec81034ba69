"""Repeated training of one cell, to measure the noise of figures (A/A test)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.record import storage
from una_bench.record.schema import Status

METRICS = {
    "memory.peak": "B",
    "throughput.tokens_per_second": "token/s",
    "throughput.tokens_per_cpu_second": "token/s",
    "pace.step": "yardstick",
}
"""Unit of each figure that should repeat; the last is speed relative to the machine's current speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Repeated readings of one figure."""

    readings: tuple[float, ...]

    @property
    def range_share(self) -> float:
        """Range divided by the mean."""
        return (max(self.readings) - min(self.readings)) / fmean(self.readings)

    @property
    def sd_share(self) -> float:
        """Sample standard deviation divided by the mean."""
        return stdev(self.readings) / fmean(self.readings)

    def resolvable_share(self, seeds: int) -> float:
        """Return the smallest relative difference that two methods with ``seeds`` trainings each can resolve.

        It is half of the 95 % interval of a difference of means (Student t, equal variances), from machine noise alone.
        """
        from scipy.stats import t

        return float(t.ppf(0.975, 2 * seeds - 2)) * self.sd_share * math.sqrt(2 / seeds)

    def to_json(self, seeds: Sequence[int] = (3, 5)) -> dict[str, Any]:
        """Return readings and spreads as JSON data."""
        return {
            "readings": list(self.readings),
            "range_share": self.range_share,
            "sd_share": self.sd_share,
            "resolvable_share": {str(n): self.resolvable_share(n) for n in seeds},
        }


def spec(*, method: str, settings: Mapping[str, Any], job: Mapping[str, Any], prepared: Path) -> dict[str, Any]:
    """Return a worker's specification of one cell with all instruments and without evaluations."""
    return {
        "key": "repeat",
        "method": method,
        "settings": dict(settings),
        "job": {"lora": None, "seed": 0, "threads": 1, **job},
        "prepared": str(prepared),
        "benchmarks": {"memory": {}, "throughput": {}, "compute": {}, "energy": {}, "pace": {}},
        "evaluate_points": 0,
    }


def train(pool: Pool, cell: Mapping[str, Any], times: int, out: Path, timeout_seconds: float = 600) -> list[Any]:
    """Train one cell ``times`` times, each in a new process, and return the results; `RuntimeError` if one fails."""
    results = []
    for number in range(times):
        folder = out / f"{cell['method']}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        task = Task(
            kind="train",
            name=folder.name,
            spec={**cell, "out": str(folder)},
            log=folder / "train.log",
            timeout_seconds=timeout_seconds,
        )
        outcomes: list[Outcome] = []
        pool.run([task], outcomes.append)
        if not outcomes or outcomes[0].status is not Status.OK:
            reason = outcomes[0].reason if outcomes else "stopped"
            raise RuntimeError(f"{cell['method']}, time {number + 1}: {reason}")
        results.append(storage.read_json(folder / "trained.json"))
    return results


def values(trained: Mapping[str, Any]) -> dict[str, float]:
    """Return the median of each measurement of a training, by metric."""
    return {m["metric"]: median(m["samples"]) for m in trained["measurements"]}


def spreads(trained: Sequence[Mapping[str, Any]], metrics: Iterable[str] = METRICS) -> dict[str, Spread]:
    """Return the spread of each metric over repetitions."""
    runs = [values(one) for one in trained]
    return {name: Spread(readings=tuple(v[name] for v in runs)) for name in metrics if all(name in v for v in runs)}
