"""Predicted time and memory of a run, from arithmetic and earlier measurements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from una_bench.interfaces import registry
from una_bench.interfaces.method import Resident
from una_bench.suite import model_shapes
from una_bench.suite.plan import Cell, Plan

BYTES_PER_FLOAT = 4
TRAINED_COPIES = 4
"""Weights, gradients and the two moments of Adam, all float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Predicted need of one cell; None where nothing is known."""

    seconds: float | None
    state_bytes: int | None
    """Weights, gradients, optimizer state and the models kept beside the policy; activations come on top."""
    peak_bytes: float | None
    """Measured peak where the suite was last measured."""


def of_cell(plan: Plan, cell: Cell) -> Estimate:
    """Predict one cell."""
    expected = plan.recipe.expected.get(cell.method, {})
    return Estimate(
        seconds=expected.get("seconds"), state_bytes=_state_bytes(plan, cell), peak_bytes=expected.get("peak_bytes")
    )


def state_bytes(
    resident: Collection[Resident], weights: int, *, adapters: int | None, reward: int, value_whole: bool = True
) -> int:
    """Return the bytes that weights, gradients, Adam's moments and the models beside the policy take, all in float32.

    Args:
        resident: Models that the method keeps beside the policy.
        weights: Of the policy; a value model has as many.
        adapters: Weights that are trained in place of the policy's, whose reference is then the policy without them.
        reward: Weights of the reward model.
        value_whole: Whether a value model is trained whole where the policy has adapters.
    """
    trained = weights if adapters is None else adapters
    held = weights + (TRAINED_COPIES - 1) * trained + (adapters or 0)
    held += weights if Resident.REFERENCE in resident and adapters is None else 0
    if Resident.VALUE in resident:
        whole = value_whole or adapters is None
        held += TRAINED_COPIES * weights if whole else weights + TRAINED_COPIES * (adapters or 0)
    held += reward if Resident.REWARD in resident else 0
    return BYTES_PER_FLOAT * held


def _state_bytes(plan: Plan, cell: Cell) -> int | None:
    """State of a cell whose models are here or known, else None."""
    problem, lora = plan.recipe.problem, plan.recipe.lora
    parameters = registry.problem(problem).parameter_count()
    policy = model_shapes.of(str(problem.get("policy", "")))
    weights = policy.parameters if policy else parameters
    if weights is None or not cell.trains or (lora and not policy):
        return None
    adapters = policy.adapters(lora.r, lora.target_modules) if policy and lora else None
    given = problem.get("reward_model")
    named = model_shapes.of(str(given.get("name") or given.get("init"))) if isinstance(given, Mapping) else None
    reward = named.parameters if named else weights
    resident, whole = registry.method(cell.method).resident, value_whole(cell)
    return state_bytes(resident, weights, adapters=adapters, reward=reward, value_whole=whole)


def value_whole(cell: Cell) -> bool:
    """Whether a value model of this cell is trained whole, also where the policy has adapters."""
    return not cell.settings.get("value_adapters")


def longest_first(plan: Plan, cells: Sequence[Cell]) -> list[Cell]:
    """Put what is known to take long before the rest, so that no worker waits long for the last cell to end."""
    return sorted(cells, key=lambda cell: -(of_cell(plan, cell).seconds or 0.0))


def wall_seconds(plan: Plan) -> float | None:
    """Predict the whole run: training spread over the workers; None where a cell or an evaluation is unknown."""
    cells = [of_cell(plan, cell).seconds for cell in plan.cells if cell.trains]
    known = [s for s in cells if s is not None]
    if len(known) < len(cells):
        return None
    setup = plan.recipe.expected.get("setup", {}).get("seconds", 0.0)
    evaluation = plan.recipe.expected.get("evaluation", {"seconds": 0.0}).get("seconds")
    if evaluation is None:
        return None
    return setup + (sum(known) + evaluation * len(plan.cells)) / plan.recipe.workers
