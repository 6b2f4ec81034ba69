"""The Pareto front: what nothing else beats on one side without losing on another."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points, each a list of numbers that are better when higher, that no other point dominates.

    Equal points stand beside each other on the front.
    """
    return [i for i, own in enumerate(points) if not any(_dominates(other, own) for other in points)]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    pairs = list(zip(a, b, strict=True))
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)
