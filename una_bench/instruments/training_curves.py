"""Training curves of metrics, and the use of each budget at their points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from una_bench.errors import Diverged
from una_bench.record.schema import BUDGET_UNITS, PROGRESS, Curve


class Trace:
    """Curves over the responses trained on, with the other axes at the same points."""

    def __init__(self) -> None:
        self.curves: dict[str, tuple[list[float], list[float]]] = {}
        self.axes: dict[str, list[float]] = {kind: [] for kind in BUDGET_UNITS}
        """Use of each kind of budget at the points of the curves."""

    def add(self, metrics: Mapping[str, float], at: float) -> None:
        """Add one point at ``at`` responses to the curve of each metric."""
        for name, value in metrics.items():
            if "loss" in name and not math.isfinite(value):
                raise Diverged(f"{name} is {value} after {at:.0f} responses")
            xs, ys = self.curves.setdefault(name, ([], []))
            xs.append(at)
            ys.append(float(value))

    def mark(self, used: Callable[[str], float]) -> None:
        """Record the current use of each budget, once per point."""
        if self.axes["responses"][-1:] != [float(used("responses"))]:
            for kind, values in self.axes.items():
                values.append(float(used(kind)))

    def record(self) -> tuple[Curve, ...]:
        """Return curves and axes for the record."""
        x = tuple(self.axes["responses"])
        beside = {kind: tuple(values) for kind, values in self.axes.items() if kind != "responses" and values}
        return (
            *(Curve(metric=m, unit="1", x=tuple(xs), y=tuple(ys)) for m, (xs, ys) in self.curves.items()),
            *(Curve(metric=f"{PROGRESS}{kind}", unit=BUDGET_UNITS[kind], x=x, y=y) for kind, y in beside.items()),
        )

    def state(self) -> dict[str, Any]:
        """Return curves and axes as JSON."""
        return {"curves": self.curves, "axes": self.axes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self.curves.update({name: (list(xs), list(ys)) for name, (xs, ys) in state["curves"].items()})
        self.axes.update({kind: list(values) for kind, values in state["axes"].items()})
