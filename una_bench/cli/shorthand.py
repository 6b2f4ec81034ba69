"""Options of `run` that stand for keys of a recipe: your model, your data, the tasks to evaluate on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.suite import recipe as recipes
from una_bench.suite.overrides import Change

DEFAULT, OWN = "exact", "preference"
"""Suite without a model or data of the user's, and with one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorthand:
    """What the options gave; empty: nothing."""

    model: str = ""
    data: str = ""
    heldout: str = ""
    reward_model: str = ""
    tasks: str = ""
    tasks_path: str = ""
    limit: float | None = None
    judge: str = ""
    judge_model: str = ""

    @property
    def _own(self) -> dict[str, str]:
        """The options about model and data that were given."""
        names = ("model", "data", "heldout", "reward_model")
        return {f"--{name.replace('_', '-')}": value for name in names if (value := getattr(self, name))}

    def suite(self, name: str) -> str:
        """Return the suite to run if ``name`` was given, empty for none."""
        return name or (OWN if self._own else DEFAULT)

    def changes(self, suite: str) -> list[Change]:
        """Return the changes to a recipe, to be applied before those of ``--set``.

        Another data set than the suite's takes with it what the suite says of its own.

        Raises:
            UserError: The suite has no model of the user's, or there is nothing to limit.
        """
        if self == Shorthand():
            return []
        raw = recipes.choose(suite).raw
        problem = raw.get("problem") if isinstance(raw.get("problem"), dict) else {}
        kind = str(problem.get("kind", "")) if problem else ""
        if self._own and "policy" not in registry.problem_type(kind).model_fields:
            option, value = next(iter(self._own.items()))
            raise UserError(
                f"{option} {value}: the suite {suite} makes its own model and data. Use a suite for language models: "
                f"una-bench run {OWN} --model MODEL --data DATA."
            )
        return [*self._problem(kind), *self._leaderboard(suite, raw.get("benchmarks") or {}), *self._judge()]

    def _problem(self, kind: str) -> list[Change]:
        generated = "prompts" in registry.problem_type(kind).model_fields if kind else False
        changes: list[Change] = []
        if self.model:
            changes += [("problem.policy", self.model), ("problem.policy_revision", ""), ("problem.chat_template", "")]
        if self.data and generated:  # responses are the model's own
            changes += [("problem.prompts", self.data), ("problem.heldout", None)]
        elif self.data:
            changes += [("problem.dataset", self.data), ("problem.heldout", None)]
            changes += [("problem.score_range", None), ("problem.columns", {})]
        if self.heldout:
            changes.append(("problem.heldout", self.heldout))
        if self.reward_model:
            given = {"name": self.reward_model, "own_tokenizer": True, "own_template": None}
            changes.append(("problem.reward_model", given))
        return changes

    def _judge(self) -> list[Change]:
        """Return the changes about the judge: the suite's own, if it has one, is replaced."""
        if not self.judge and not self.judge_model:
            return []
        judge = self.judge or "local"
        return [("benchmarks.judge.judge", judge), ("benchmarks.judge.model", self.judge_model)]

    def _leaderboard(self, suite: str, benchmarks: Any) -> list[Change]:
        changes: list[Change] = []
        if self.tasks:
            names = [name.strip() for name in self.tasks.split(",") if name.strip()]
            if not names:
                raise UserError(f"--tasks {self.tasks} has no name. Give some: --tasks hellaswag,leaderboard-v2.")
            changes.append(("benchmarks.leaderboard.tasks", names))
        if self.tasks_path:
            changes.append(("benchmarks.leaderboard.tasks_path", self.tasks_path))
        if self.limit is not None:
            if not changes and "leaderboard" not in benchmarks:
                raise UserError(
                    f"--limit {self.limit:g}: the suite {suite} has no tasks. Give some: --tasks hellaswag."
                )
            limit = int(self.limit) if self.limit.is_integer() else self.limit
            changes += [("benchmarks.leaderboard.limit", limit), ("benchmarks.leaderboard.limit_per", "task")]
        return changes
