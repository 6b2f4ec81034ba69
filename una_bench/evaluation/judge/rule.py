"""A reward function as a judge: the answer with the higher reward wins, equal rewards tie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from una_bench.evaluation.judge.requests import Reply, Request


@dataclass(slots=True, kw_only=True)
class RuleJudge:
    """A reward function on the texts that methods are trained with: prompts in the policy's template, end tokens."""

    name: str
    reward: Callable[[Sequence[str], Sequence[str]], list[float]]

    def identity(self) -> Mapping[str, Any]:
        """Return nothing: rewards are computed again, not kept."""
        return {}

    def ask(self, requests: Sequence[Request], keep: Callable[[int, Reply], None]) -> None:
        """Compare the rewards of both answers of each request."""
        texts = list(dict.fromkeys((one.raw["prompt"], one.raw[side]) for one in requests for side in ("a", "b")))
        rewards = dict(zip(texts, self.reward([p for p, _ in texts], [a for _, a in texts]), strict=True))
        for number, one in enumerate(requests):
            first, second = (rewards[one.raw["prompt"], one.raw[side]] for side in ("a", "b"))
            mark = "[[C]]" if first == second else "[[A]]" if first > second else "[[B]]"
            keep(number, Reply(text=f"Reward {first:.6g} for A, {second:.6g} for B. {mark}"))
