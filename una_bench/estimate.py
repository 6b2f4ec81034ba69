"""What a run will need, from arithmetic and from earlier measurements; each figure says which."""

from __future__ import annotations

from dataclasses import dataclass

from una_bench import catalog
from una_bench.method import Resident
from una_bench.plan import Cell, Plan

BYTES_PER_FLOAT = 4
TRAINED_COPIES = 4
"""Weights, gradients and the two moments of Adam, all float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Predicted need of one cell; None where nothing is known."""

    seconds: float | None
    state_bytes: int | None
    """Weights, gradients, optimiser state and the models kept beside the policy; activations come on top."""
    peak_bytes: float | None
    """Measured peak where the suite was last measured."""


def of_cell(plan: Plan, cell: Cell) -> Estimate:
    """Predict one cell."""
    expected = plan.recipe.expected.get(cell.method, {})
    return Estimate(
        seconds=expected.get("seconds"), state_bytes=_state_bytes(plan, cell), peak_bytes=expected.get("peak_bytes")
    )


def _state_bytes(plan: Plan, cell: Cell) -> int | None:
    parameters = catalog.problem(plan.recipe.problem).parameter_count()
    if parameters is None or not cell.trains:
        return None
    resident = catalog.method(cell.method).resident
    trained = 1 + (Resident.VALUE in resident)
    frozen = len(resident - {Resident.VALUE})
    return parameters * BYTES_PER_FLOAT * (TRAINED_COPIES * trained + frozen)


def wall_seconds(plan: Plan) -> float | None:
    """Predict the whole run: training spread over the workers; None where a cell is unknown."""
    cells = [of_cell(plan, cell).seconds for cell in plan.cells if cell.trains]
    known = [s for s in cells if s is not None]
    if len(known) < len(cells):
        return None
    setup = plan.recipe.expected.get("setup", {}).get("seconds", 0.0)
    evaluation = plan.recipe.expected.get("evaluation", {}).get("seconds", 0.0) * len(plan.cells)
    return setup + (sum(known) + evaluation) / plan.recipe.workers
