"""The screen before a run: what is going to happen, and about how long."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from una_bench import formatting
from una_bench.interfaces import registry, sharding
from una_bench.interfaces.prepared import DataSize, Prepared
from una_bench.machine import hardware
from una_bench.orchestration import benchmark_checks, missing_inputs, preparation
from una_bench.suite import draws, requirements, search
from una_bench.suite.requirements import CARD, CORE, GIB, Rate

if TYPE_CHECKING:
    from una_bench.suite.plan import Plan
    from una_bench.suite.requirements import Requirements

MILLION = 1e6


def data_of(plan: Plan) -> DataSize | None:
    """Return the amount of the data: as prepared, or as its files look before that.

    Raises:
        UserError: The data cannot be read.
    """
    prepared = Prepared(preparation.folder_of(plan))
    if (prepared.path / "manifest.json").is_file():
        return prepared.size
    return registry.problem(plan.recipe.problem).size()


def show(console: Console, plan: Plan, data: DataSize | None, folder: Path) -> None:
    """Print the screen."""
    notes = (plan if data is None else plan.with_responses(data.responses)).notes()
    console.print(f"[bold]Suite {escape(plan.recipe.name)}[/bold]")
    for heading, line in [*lines(plan, data, folder).items(), *(("note", note) for note in notes)]:
        console.print(f"  {heading:<9}{escape(formatting.clean(line))}", soft_wrap=True)


def lines(plan: Plan, data: DataSize | None, folder: Path) -> dict[str, str]:
    """Return the lines of the screen by heading."""
    recipe, required = plan.recipe, requirements.of(plan, data)
    about = registry.problem(recipe.problem).overview(data)
    if "model" in about:
        about["model"] += _weights(plan, required)
    names = ", ".join(dict.fromkeys(cell.method for cell in plan.cells))
    cells = f"{len(plan.cells)} cells"
    if recipe.draws > 1:
        cells = f"{recipe.draws * len(plan.cells)} cells, {len(plan.cells)} in each of {recipe.draws} draws"
    return {
        **about,
        "methods": f"{names} ({cells}; seeds {', '.join(map(str, recipe.seeds))})",
        **({"draws": draws.about(recipe)} if recipe.draws > 1 else {}),
        "budget": _budget(plan, data),
        **({"tuning": _tuning(plan, data)} if recipe.tune else {}),
        "tasks": _tasks(plan),
        **benchmark_checks.overview(plan, data),
        "time": _time(plan, required),
        "memory": _memory(plan, required),
        **({"disk": _disk(required)} if recipe.draws > 1 else {}),
        "folder": str(folder),
    }


def _disk(required: Requirements | None) -> str:
    return f"about {formatting.quantity(required.saved_bytes, 'B')} of checkpoints" if required else "unknown"


def _weights(plan: Plan, required: Requirements | None) -> str:
    if required is None:
        here = Path(str(plan.recipe.problem.get("policy", ""))).exists()
        return " (of unknown size)" if here else " (of unknown size: it is not on this machine yet)"
    rank = plan.recipe.lora.r if plan.recipe.lora else 0
    trained = f"; adapters of rank {rank} train {_count(required.adapters)}" if required.adapters else ""
    return f" ({_count(required.policy)} weights{trained})"


def _count(number: int) -> str:
    return f"{number / MILLION:,.1f} million" if number >= MILLION else f"{number:,}"


def _budget(plan: Plan, data: DataSize | None) -> str:
    epochs, batch = plan.recipe.budget.epochs, plan.recipe.batch_responses
    passes = f"{epochs:g} {'pass' if epochs == 1 else 'passes'} over the data" if epochs else ""
    if passes and data is None:
        return f"{passes} for every method, in steps of {batch} responses"
    ((kind, amount),) = (plan if data is None else plan.with_responses(data.responses)).recipe.budget.given().items()
    text = f"{amount:g} {kind}" if amount < MILLION else f"{amount:.3g} {kind}"
    text += f", {math.ceil(amount / batch)} steps of {batch}" if kind == "responses" else f", {batch} responses a step"
    return f"{passes}: {'about ' if data and data.estimated else ''}{text}, for every method" if passes else text


def _tasks(plan: Plan) -> str:
    settings = plan.recipe.benchmarks.get("leaderboard")
    if settings is None:
        return "none; --tasks hellaswag,leaderboard-v2 adds some"
    names = missing_inputs.tasks_of(plan)
    folder, limit = settings.get("tasks_path"), settings.get("limit")
    given = ", ".join(names) or (f"all in {folder}" if folder else "the suite's own")
    return f"{given}; at most {limit:g} documents of each" if limit and limit >= 1 else given


def _tuning(plan: Plan, data: DataSize | None) -> str:
    """Return trials × methods × time, and the winners' trainings after them."""
    tune = plan.recipe.tune
    assert tune is not None
    searched = search.searches(plan)
    trials, tuned = search.plans_of(plan, searched)
    share = "" if tune.budget_share == 1 else f", each of {tune.budget_share:g} of the budget"
    seeds = f" × {tune.seeds} seeds" if tune.seeds > 1 else ""
    final = sum(cell.trains for cell in tuned.cells)
    return (
        f"{tune.trials} trials × {len(searched)} methods and variants{seeds} = {len(trials.cells)} trainings{share}, "
        f"{_time(trials, requirements.of(trials, data))}; then {final} trainings of the winners, "
        f"{_time(tuned, requirements.of(tuned, data))}"
    )


def _time(plan: Plan, required: Requirements | None) -> str:
    measured, recipe = plan.expected_seconds(), plan.recipe
    if measured is not None:
        return f"about {formatting.quantity(measured, 's')}, as measured on the machine that the recipe names"
    device = hardware.resolve_device(recipe.device)
    seconds = required.run_seconds(rate_of(device, recipe.threads)) if required else None
    if seconds is None:
        return "unknown before the preparation"
    span = formatting.quantity(seconds, "s")
    return f"about {span} on {device}, {recipe.at_once} at a time, by rough arithmetic for an idle machine"


def _memory(plan: Plan, required: Requirements | None) -> str:
    if required is None:
        return "unknown"
    text = f"at most about {required.memory_bytes / GIB:.1f} GiB" if required.shape else "unknown"
    number, batch = plan.recipe.processes, plan.recipe.batch_responses
    if number == 1:
        return text
    largest = max((cell for cell in plan.cells if cell.trains), key=required.state_bytes, default=None)
    if largest is None:
        return text
    divided = sharding.divided(plan.recipe.sharding)
    parts = [f"{f'1/{number} of ' if part in divided else 'all '}{part}" for part in sharding.PARTS]
    state = f"{', '.join(parts)} ({formatting.quantity(required.state_bytes(largest), 'B')} with the models beside it)"
    whole = required.whole_bytes(largest)
    loads = f", and all weights ({formatting.quantity(whole, 'B')}) while it loads or generates" if whole else ""
    return f"{text}; each of a cell's {number} processes holds {state} and {batch // number} responses of a step{loads}"


def rate_of(device: str, threads: int) -> Rate:
    """Return the assumed speed of a device, or of as many cores as a cell has threads."""
    return CARD if device != "cpu" else replace(CORE, flops=CORE.flops * threads)
