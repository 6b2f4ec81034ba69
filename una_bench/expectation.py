"""What of a suite's measured times and peaks still holds once its recipe is changed: figures for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAME_WORK = ("batch_responses", "lora", "precision", "device", "threads")
"""Keys that a training's time and memory hang on, beside the budget."""
SAME_TEXTS = ("kind", "policy", "max_prompt_length", "max_response_length", "max_length")
"""The same, of the problem."""
ONCE = ("setup", "evaluation")
"""What is expected of a suite and not of a method."""


def after(changed: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be expected of a changed recipe.

    Another amount of the same budget scales the seconds of a training; another model, length, batch or kind of
    training leaves nothing of them. Other benchmarks leave the time of an evaluation unknown.

    Args:
        changed: Plain data of the recipe as it will run, not validated yet.
        original: Plain data of the recipe file, where ``expected`` was measured.
    """
    expected = changed.get("expected")
    if not isinstance(expected, Mapping) or expected != original.get("expected"):
        return {"expected": expected} if "expected" in changed else {}  # the user's own, or none; validation judges it
    kept = {name: figures for name, figures in expected.items() if name in ONCE}
    if "evaluation" in kept and changed.get("benchmarks") != original.get("benchmarks"):
        kept["evaluation"] = {}
    share = _share(changed.get("budget"), original.get("budget"))
    if _alike(changed, original, SAME_WORK) and _alike(_problem(changed), _problem(original), SAME_TEXTS):
        kept |= {name: _scaled(figures, share) for name, figures in expected.items() if name not in ONCE}
    return {"expected": kept}


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    return all(one.get(key) == other.get(key) for key in keys)


def _problem(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    problem = raw.get("problem")
    return problem if isinstance(problem, Mapping) else {}


def _share(budget: Any, measured: Any) -> float | None:
    """How much of the measured budget there is; None: of another kind, or not a number."""
    if not isinstance(budget, Mapping) or not isinstance(measured, Mapping) or list(budget) != list(measured):
        return None
    amounts = [*budget.values(), *measured.values()]
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in amounts)
    return float(amounts[0] / amounts[1]) if numbers and len(amounts) == 2 else None


def _scaled(figures: Any, share: float | None) -> Any:
    if not isinstance(figures, Mapping) or "seconds" not in figures or share == 1:
        return figures
    rest = {name: value for name, value in figures.items() if name != "seconds"}
    known = share is not None and isinstance(figures["seconds"], int | float)
    return rest | ({"seconds": figures["seconds"] * share} if known else {})
