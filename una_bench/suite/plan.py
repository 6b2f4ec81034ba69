"""Plan of a run: the cells of a recipe and their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from una_bench.interfaces import registry, source_code, trl_source
from una_bench.interfaces.benchmark import Benchmark
from una_bench.interfaces.budget import Budget
from una_bench.interfaces.method import Feedback, Job, Method
from una_bench.interfaces.sharding import NONE
from una_bench.machine import hardware
from una_bench.record.hashes import content_hash
from una_bench.suite import processes, sharding
from una_bench.suite import recipe as recipes
from una_bench.suite.recipe import Recipe

SELECTION = {
    *("methods", "seeds", "draws", "workers", "timeout_minutes", "checkpoint_minutes", "slurm", "tune", "expected"),
    "about",
}
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
    """Content hash of everything that affects the result, except for code and for settings with default values."""
    code: dict[str, Any]
    """Hashes of the code that affects the result (`una_bench.record.code_facts`)."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts for its record that do not affect the result."""

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
    preparation: str
    """Hash of the code of the preparation."""
    most_workers: int | None = None
    """Cells that can run at the same time where ``workers`` is ``auto``; None where it is a number."""

    @property
    def problem_key(self) -> str:
        """Content hash of the problem, which together with `preparation` identifies the prepared folder."""
        kind = registry.problem_type(str(self.recipe.problem["kind"]))
        return content_hash({"problem": _problem_identity(self.recipe), "revision": kind.revision})

    def prepared_by(self, preparation: str) -> Plan:
        """Return the plan for a suite that other code has prepared."""
        prepared = _preparation_part(self.recipe, preparation)
        cells = [replace(c, code={**c.code, "training": {**c.code["training"], **prepared}}) for c in self.cells]
        return replace(self, preparation=preparation, cells=tuple(cells))

    def with_responses(self, count: int) -> Plan:
        """Return the plan with a budget of epochs as one of responses, now that there are ``count`` to train on."""
        epochs = self.recipe.budget.epochs
        if epochs is None:
            return self
        budget = recipes.Budget(responses=max(1, round(epochs * count)))
        return replace(self, recipe=self.recipe.model_copy(update={"budget": budget}))

    def batch(self, cell: Cell) -> int:
        """Return the responses behind one optimizer step of a cell."""
        return int(cell.settings.get("batch_responses") or self.recipe.batch_responses)

    def settings(self, cell: Cell) -> dict[str, Any]:
        """Return the settings that a cell trains with: smaller where the budget is less than they need."""
        if self.recipe.budget.epochs is not None:
            return cell.settings
        ((kind, amount),) = self.recipe.budget.given().items()
        method = registry.method(cell.method).model_validate(cell.settings)
        return method.within(Budget(kind=kind, amount=amount), self.batch(cell)).settings()

    def fitted(self, cell: Cell) -> dict[str, Any]:
        """Return the settings of a cell that the budget changes, with the values that they were given."""
        settings = self.settings(cell)
        return {name: given for name, given in cell.settings.items() if settings[name] != given}

    def notes(self) -> list[str]:
        """Return lines on methods that this TRL lacks or whose settings the budget changes, and on unused settings."""
        lines = []
        trained = {cell.method: cell.label for cell in self.cells if cell.trains}
        for name, label in trained.items():
            kind = registry.method(name)
            if lacking := trl_source.missing(kind.trainer, kind.last_trl):
                lines.append(f"{label}: not run: {'. '.join(lacking)}.")
        had = {setting for name in trained for setting in registry.method(name).model_fields}
        unused = sorted(set(self.recipe.training) - had) if trained else []
        lines += [f"training.{setting} changes nothing: none of these methods has it." for setting in unused]
        for cell in self.cells:
            settings = self.settings(cell)
            changes = [f"{name}={settings[name]} (not {given})" for name, given in self.fitted(cell).items()]
            if changes:
                lines.append(
                    f"{cell.label}: the budget is less than one rollout with all its passes, so it trains with "
                    f"{', '.join(changes)}."
                )
        return list(dict.fromkeys(lines))

    def expected_seconds(self) -> float | None:
        """Return the expected time of all draws, None if that of a training or an evaluation was never measured."""
        expected = self.recipe.expected if self.recipe.processes == 1 else {}  # measured with one
        setup = expected.get("setup", {}).get("seconds", 0.0)
        evaluation = expected.get("evaluation", {"seconds": 0.0}).get("seconds")
        parts = [expected.get(cell.method, {}).get("seconds") for cell in self.cells if cell.trains]
        parts += [evaluation] * len(self.cells)
        known = [seconds for seconds in parts if seconds is not None]
        of_draw = setup + sum(known) / self.recipe.at_once
        return self.recipe.draws * of_draw if len(known) == len(parts) else None

    def longest_first(self, cells: Sequence[Cell]) -> list[Cell]:
        """Sort cells by expected time, longest first, so that no worker waits long for the last cell.

        One worker takes them in the order of the plan, each seed of all methods in turn.
        """
        if self.recipe.workers == 1:
            return list(cells)
        return sorted(cells, key=lambda cell: -self.recipe.expected.get(cell.method, {}).get("seconds", 0.0))


def make(
    recipe: Recipe,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    *,
    device: str = "",
    most_workers: int | None = None,
) -> Plan:
    """Return the plan of a recipe for the given methods and seeds (default: the recipe's).

    The untrained policy is always included. ``device`` is that of ``auto``, and ``most_workers`` the number of cells
    that can run at the same time, if cells do not run on this machine.
    """
    names = registry.expand_methods([*(methods or recipe.methods), "base"])
    selection = {"methods": tuple(names), "seeds": tuple(seeds) or recipe.seeds}
    chosen = recipe.model_copy(update=selection | _precisions(recipe, device))
    entries = [
        (name, method, variant, seed)
        for seed in chosen.seeds
        for name in names
        for method, variant in named_variants(chosen, name)
        if seed == chosen.seeds[0] or method.feedback is not Feedback.NONE
    ]
    most = (most_workers or _workers_here(recipe)) if recipe.workers == "auto" else None
    return of_entries(chosen, entries, most)


def of_entries(recipe: Recipe, entries: Iterable[tuple[str, Method, str, int]], most_workers: int | None) -> Plan:
    """Return the plan of a recipe without anything ``auto`` but its workers, for (name, method, variant, seed)."""
    identity, preparation = identity_of(recipe), preparation_of(recipe)
    code = _shared_code(recipe, preparation)
    cells = []
    for name, method, variant, seed in entries:
        processes.require(recipe, name, method)
        sharding.require(recipe, name, method)
        cells.append(_cell(identity, code, name, method, variant, seed))
    if most_workers:
        recipe = recipe.model_copy(update={"workers": max(1, min(len(cells), most_workers))})
    key = content_hash(identity)
    return Plan(recipe=recipe, cells=tuple(cells), key=key, preparation=preparation, most_workers=most_workers)


def _workers_here(recipe: Recipe) -> int:
    """Return how many cells this machine can run at the same time."""
    on_cards = hardware.resolve_device(recipe.device) == "cuda"
    cards = max(1, len(hardware.cards()) // recipe.processes) if on_cards else 0
    return hardware.most_workers(recipe.threads * recipe.processes, cards)


def _precisions(recipe: Recipe, device: str) -> dict[str, Any]:
    """Resolve each precision ``auto`` for the device, so that it is part of the key."""
    device = device if recipe.device == "auto" and device else recipe.device
    benchmarks = {name: dict(settings) for name, settings in recipe.benchmarks.items()}
    for settings in benchmarks.values():
        if "precision" in settings:
            settings["precision"] = hardware.resolve_precision(str(settings["precision"]), device)
    return {"precision": hardware.resolve_precision(recipe.precision, device), "benchmarks": benchmarks}


def identity_of(recipe: Recipe) -> dict[str, Any]:
    """Return the part of a recipe that affects results."""
    unused = {"processes"} if recipe.processes == 1 else set()  # so that older keys stay
    unused |= {"sharding"} if recipe.sharding == NONE else set()
    fields = recipe.model_dump(mode="json", exclude=SELECTION | unused)
    benchmarks = {
        name: {key: value for key, value in settings.items() if key not in registry.benchmark(name).operational}
        for name, settings in fields["benchmarks"].items()
    }
    return fields | {"problem": _problem_identity(recipe), "benchmarks": benchmarks}


def _problem_identity(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of the problem that differ from their defaults: new settings then change no key."""
    problem = registry.problem(recipe.problem)
    return problem.model_dump(mode="json", exclude_defaults=True) | {"kind": problem.kind}


def _shared_code(recipe: Recipe, preparation: str) -> dict[str, source_code.Parts]:
    """Return the hashes of the code that all cells share; a benchmark that observes trainings counts for these."""
    training = source_code.of_engine() | _preparation_part(recipe, preparation)
    evaluation: source_code.Parts = {}
    for name in recipe.benchmarks:
        benchmark = registry.benchmark(name)
        hooks = ["after_step", "read", *(["watch"] if recipe.evaluate_points else [])]
        if any(getattr(benchmark, hook) is not getattr(Benchmark, hook) for hook in hooks):
            training |= source_code.of_class(benchmark)
        if benchmark.evaluate is not Benchmark.evaluate:
            evaluation |= source_code.of_packages("evaluation") | source_code.of_class(benchmark)
    return {"training": training, "evaluation": evaluation}


def preparation_of(recipe: Recipe) -> str:
    """Return the hash of the code that prepares the suite in this installation."""
    return source_code.of_preparation(registry.problem_type(str(recipe.problem["kind"])))


def _preparation_part(recipe: Recipe, preparation: str) -> source_code.Parts:
    return {f"preparation of {recipe.problem['kind']}": preparation}


def named_variants(recipe: Recipe, name: str) -> list[tuple[Method, str]]:
    """Return each variant of a method and its name, which consists of the settings that differ between variants."""
    built = recipes.variants(recipe, name)
    if len(built) == 1:
        return [(built[0], "")]
    keys = [k for k in built[0].settings() if len({repr(m.settings()[k]) for m in built}) > 1]
    return [(m, ",".join(f"{k}={m.settings()[k]}" for k in keys)) for m in built]


def _cell(
    identity: dict[str, Any], code: dict[str, source_code.Parts], name: str, method: Method, variant: str, seed: int
) -> Cell:
    shared = {k: v for k, v in identity.items() if k not in {"training", "settings", "name", "benchmarks"}}
    settings, defaults = method.settings(), type(method)().settings()
    changed = tuple(sorted(k for k, v in settings.items() if v != defaults[k]))
    decides = {"method": name, "settings": {k: settings[k] for k in changed}, "seed": seed, "shared": shared}
    return Cell(
        method=name,
        variant=variant,
        label=method.display,
        seed=seed,
        settings=settings,
        settings_changed=changed,
        trains=method.feedback is not Feedback.NONE,
        key=content_hash(decides),
        code={"method": source_code.of_class(type(method)), **code},
    )


def job(plan: Plan, cell: Cell, *, prepared: Path, out: Path, device: str, lengths: tuple[int, int]) -> Job:
    """Return the job of ``cell``; ``lengths`` are the largest prompt and response lengths in tokens.

    A budget of epochs needs `Plan.with_responses` first.
    """
    recipe = plan.recipe
    return Job(
        prepared=prepared,
        out=out,
        seed=cell.seed,
        **dict[str, Any]({f"budget_{kind}": amount for kind, amount in recipe.budget.given().items()}),
        batch_responses=plan.batch(cell),
        max_prompt_length=lengths[0],
        max_new_tokens=lengths[1],
        temperature=recipe.temperature,
        reward=recipe.reward,
        lora=recipe.lora,
        precision=recipe.precision,
        device=device,
        threads=recipe.threads,
        processes=recipe.processes,
        sharding=recipe.sharding,
    )


def job_facts(job: Job) -> dict[str, Any]:
    """Return the part of a job that belongs in a record, without paths and unused budgets."""
    omitted = {"prepared", "out", "method", "seed", "checkpoint_minutes", "report_to"}
    omitted |= {"processes"} if job.processes == 1 else set()
    omitted |= {"sharding"} if job.sharding == NONE else set()
    unused = {name for name, value in asdict(job).items() if name.startswith("budget_") and value is None}
    return {k: v for k, v in asdict(job).items() if k not in omitted | unused}
