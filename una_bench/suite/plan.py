"""Plan of a run: the cells of a recipe and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from una_bench.interfaces import registry
from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.machine import hardware
from una_bench.record.hashes import content_hash
from una_bench.record.version import VERSION
from una_bench.suite import recipe as recipes
from una_bench.suite.recipe import Recipe

SELECTION = {"methods", "seeds", "workers", "timeout_minutes", "checkpoint_minutes", "expected", "about"}
"""Keys of a recipe that do not affect results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training: method x variant x seed."""

    method: str
    variant: str
    label: str
    seed: int
    settings: dict[str, Any]
    settings_changed: tuple[str, ...]
    trains: bool
    key: str
    """Content hash of everything that affects the result."""

    @property
    def name(self) -> str:
        """``METHOD[variant]-sSEED``, for tables and messages."""
        variant = f"[{self.variant}]" if self.variant else ""
        return f"{self.method}{variant}-s{self.seed}"

    @property
    def folder(self) -> str:
        """Name of the cell's folder below ``cells/``."""
        return f"{self.method}-s{self.seed}-{self.key[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cells of a run."""

    recipe: Recipe
    cells: tuple[Cell, ...]
    key: str
    """Content hash of the recipe without `SELECTION`, which identifies the run's folder."""

    @property
    def problem_key(self) -> str:
        """Content hash of the problem, which identifies the prepared folder."""
        kind = registry.problem_type(str(self.recipe.problem["kind"]))
        return content_hash({"problem": before(self.recipe.problem, kind.later), "revision": kind.revision})

    def expected_seconds(self) -> float | None:
        """Return the expected time of the run, None if that of a training or an evaluation was never measured."""
        expected = self.recipe.expected
        setup = expected.get("setup", {}).get("seconds", 0.0)
        evaluation = expected.get("evaluation", {"seconds": 0.0}).get("seconds")
        parts = [expected.get(cell.method, {}).get("seconds") for cell in self.cells if cell.trains]
        parts += [evaluation] * len(self.cells)
        known = [seconds for seconds in parts if seconds is not None]
        return setup + sum(known) / self.recipe.workers if len(known) == len(parts) else None

    def longest_first(self, cells: Sequence[Cell]) -> list[Cell]:
        """Sort cells by expected time, longest first, so that no worker waits long for the last cell."""
        return sorted(cells, key=lambda cell: -self.recipe.expected.get(cell.method, {}).get("seconds", 0.0))


def make(recipe: Recipe, methods: Sequence[str] = (), seeds: Sequence[int] = ()) -> Plan:
    """Return the plan of a recipe for the given methods and seeds (default: the recipe's).

    The untrained policy is always included.
    """
    names = registry.expand_methods([*(methods or recipe.methods), "base"])
    selection = {"methods": tuple(names), "seeds": tuple(seeds) or recipe.seeds}
    chosen = recipe.model_copy(update=selection | _precisions(recipe))
    identity = identity_of(chosen)
    cells = [
        _cell(chosen, identity, name, method, variant, seed)
        for seed in chosen.seeds
        for name in names
        for method, variant in _named_variants(chosen, name)
        if seed == chosen.seeds[0] or method.feedback is not Feedback.NONE
    ]
    return Plan(recipe=chosen, cells=tuple(cells), key=content_hash(identity))


def _precisions(recipe: Recipe) -> dict[str, Any]:
    """Resolve each precision ``auto`` for this device, so that it is part of the key."""
    benchmarks = {name: dict(settings) for name, settings in recipe.benchmarks.items()}
    for settings in benchmarks.values():
        if "precision" in settings:
            settings["precision"] = hardware.resolve_precision(str(settings["precision"]), recipe.device)
    return {"precision": hardware.resolve_precision(recipe.precision, recipe.device), "benchmarks": benchmarks}


def identity_of(recipe: Recipe) -> dict[str, Any]:
    """Return the part of a recipe that affects results."""
    kind = registry.problem_type(str(recipe.problem["kind"]))
    identity = recipe.model_dump(mode="json", exclude=SELECTION)
    return identity | {"problem": before(recipe.problem, kind.later)}


def before(settings: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of settings what came later and is as it was before it came: so finished runs keep their keys.

    Args:
        settings: Of a method or a problem, defaults written out.
        later: Setting, dotted where it is inside another, -> its value before there was a choice.
    """
    kept = dict(settings)
    for name, value in later.items():
        outer, _, inner = name.rpartition(".")
        if not outer and name in kept and kept[name] == value:
            del kept[name]
        elif outer and isinstance(kept.get(outer), Mapping):
            kept[outer] = before(kept[outer], {inner: value})
    return kept


def _named_variants(recipe: Recipe, name: str) -> list[tuple[Method, str]]:
    """Return each variant of a method and its name, which consists of the settings that differ between variants."""
    built = recipes.variants(recipe, name)
    if len(built) == 1:
        return [(built[0], "")]
    keys = [k for k in built[0].settings() if len({repr(m.settings()[k]) for m in built}) > 1]
    return [(m, ",".join(f"{k}={m.settings()[k]}" for k in keys)) for m in built]


def _cell(recipe: Recipe, identity: dict[str, Any], name: str, method: Method, variant: str, seed: int) -> Cell:
    shared = {k: v for k, v in identity.items() if k not in {"training", "settings", "name", "benchmarks"}}
    settings = method.settings()
    decides = {
        "method": name,
        "settings": before(settings, method.later),
        "seed": seed,
        "shared": shared,
        "version": VERSION,
    }
    return Cell(
        method=name,
        variant=variant,
        label=method.display,
        seed=seed,
        settings=settings,
        settings_changed=recipes.changed_settings(method),
        trains=method.feedback is not Feedback.NONE,
        key=content_hash(decides),
    )


def job(plan: Plan, cell: Cell, *, prepared: Path, out: Path, device: str, lengths: tuple[int, int]) -> Job:
    """Return the job of ``cell``; ``lengths`` are the largest prompt and response lengths in tokens."""
    recipe = plan.recipe
    return Job(
        prepared=prepared,
        out=out,
        seed=cell.seed,
        **dict[str, Any]({f"budget_{kind}": amount for kind, amount in recipe.budget.given().items()}),
        batch_responses=cell.settings.get("batch_responses") or recipe.batch_responses,
        max_prompt_length=lengths[0],
        max_new_tokens=lengths[1],
        temperature=recipe.temperature,
        reward=recipe.reward,
        lora=recipe.lora,
        precision=recipe.precision,
        device=device,
        threads=recipe.threads,
    )


def job_facts(job: Job) -> dict[str, Any]:
    """Return the part of a job that belongs in a record, without paths and unused budgets."""
    omitted = {"prepared", "out", "seed", "checkpoint_minutes", "report_to"}
    unused = {name for name, value in asdict(job).items() if name.startswith("budget_") and value is None}
    return {k: v for k, v in asdict(job).items() if k not in omitted | unused}
