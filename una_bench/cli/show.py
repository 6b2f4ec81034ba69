"""Output of the commands about methods, suites, plans and results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from una_bench.errors import UserError, nearest
from una_bench.interfaces import registry, trl_source

if TYPE_CHECKING:
    from una_bench.interfaces.method import Method
    from una_bench.interfaces.prepared import DataSize
    from una_bench.suite.plan import Plan

MIB = 2**20
HEADINGS = ("offline", "online")
"""Groups in which methods are listed; each method is in one, or in none."""


def catalog(console: Console) -> None:
    """Print methods, benchmarks and suites."""
    import yaml

    heads = ("method", "label", "learns from", "keeps in memory beside the policy")
    groups = registry.groups()
    table = Table(*heads, title="Methods", title_justify="left")
    named = {name for group in HEADINGS for name in groups[group]}
    rest = [name for name in registry.method_names() if name not in named]
    for names in (rest, *(groups[group] for group in HEADINGS)):
        for name in names:
            method = registry.method(name)
            table.add_row(name, method.label, method.feedback, ", ".join(sorted(method.resident)) or "nothing")
        table.add_section()
    console.print(table)
    for group, names in groups.items():
        console.print(f"Group {group}: {', '.join(names)}" if group != "all" else "Group all: every method\n")
    table = Table("benchmark", "what it measures", title="Benchmarks", title_justify="left")
    for name in registry.benchmark_names():
        table.add_row(name, registry.benchmark(name).about)
    console.print(table)
    table = Table("suite", "about", title="Suites", title_justify="left")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with libyaml
    for path in sorted(registry.recipe_folder().glob("*.yaml")):  # read without validation, which is slow
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        table.add_row(path.stem.replace("_", "-"), " ".join(str(raw.get("about", "")).split()))
    console.print(table)


def one(console: Console, name: str) -> None:
    """Print a method or a suite."""
    canonical = registry.canonical(name)
    if canonical in registry.method_names():
        _method(console, canonical)
    elif canonical.replace("_", "-") in registry.suite_names():
        from una_bench.suite import recipe as recipes

        console.print(escape(recipes.dump(recipes.load(name))))
    else:
        names = [*registry.method_names(), *registry.suite_names()]
        raise UserError(
            f"There is no method or suite '{name}'.{nearest(canonical, names)} `una-bench list` shows them all."
        )


def _method(console: Console, name: str) -> None:
    from una_bench.suite import setting_help

    method = registry.method(name)
    resident = ", ".join(sorted(method.resident)) or "nothing else"
    console.print(f"[bold]{escape(method.label)}[/bold] ({name})")
    console.print(f"Learns from {method.feedback} feedback; keeps {resident} in memory beside the policy.")
    console.print(f"Source: {escape(method.paper)}")
    groups = [group for group, names in registry.groups().items() if name in names]
    console.print(f"Groups: {', '.join(groups)}")
    console.print(f"TRL: {escape(_trl(method))}")
    console.print(escape((method.__doc__ or "").strip()))
    table = Table("setting", "default", "meaning")
    meanings = setting_help.of(method)
    for setting, value in method().settings().items():
        table.add_row(setting, str(value), escape(meanings.get(setting, "")))
    console.print(table)


def _trl(method: type[Method]) -> str:
    """Return which TRL a method needs, and whether the installed one does."""
    name = method.trainer.rpartition(".")[2]
    if not name:
        return "not used"
    needed = f"{name}, in releases up to {method.last_trl}" if method.last_trl else name
    lacking = trl_source.missing(method.trainer, method.last_trl)
    return f"{needed}. This environment cannot run it: {'. '.join(lacking)}" if lacking else needed


def plan(console: Console, planned: Plan, data: DataSize | None, folder: Path) -> None:
    """Print what a plan is going to do, and its cells with predicted time and memory."""
    from una_bench.cli import overview
    from una_bench.machine.hardware import resolve_device
    from una_bench.suite import requirements

    overview.show(console, planned, data, folder)
    recipe = planned.recipe
    table = Table("cell", "key", "time, s", "state, MiB", "peak, MiB")
    required = requirements.of(planned, data)
    rate = overview.rate_of(resolve_device(recipe.device), recipe.threads)
    for cell in planned.cells:
        measured = recipe.expected.get(cell.method, {}) if recipe.processes == 1 else {}
        state_bytes = required.state_bytes(cell) if required and cell.trains else None
        predicted: dict[str, float] = {}
        if required and required.shape and cell.trains and required.run_seconds(rate) is not None and data:
            seconds, peak = required.train_seconds(cell, data, rate), required.peak_bytes(cell)
            predicted = {"seconds": seconds, "peak_bytes": peak}
        table.add_row(
            escape(cell.name),
            cell.key,
            _or_predicted("seconds", 1, measured, predicted) if cell.trains else "-",
            _or_unknown(state_bytes, MIB, ".1f") if cell.trains else "-",
            _or_predicted("peak_bytes", MIB, measured, predicted) if cell.trains else "-",
        )
    console.print(table)
    console.print(
        "time, peak: as measured on the machine named in the recipe, or ≈ by arithmetic; "
        "state: arithmetic (weights, gradients, Adam, other models)"
    )
    if recipe.draws > 1:
        console.print(f"cells: of draw 0; draws 1 to {recipe.draws - 1} have the same cells with other keys")
    console.print("Nothing was written.")


def _or_predicted(name: str, unit: float, measured: Mapping[str, float], predicted: Mapping[str, float]) -> str:
    if name in predicted and name not in measured:
        return f"≈ {predicted[name] / unit:.0f}"
    return _or_unknown(measured.get(name), unit, ".0f")


def _or_unknown(value: float | None, unit: float, form: str) -> str:
    return "unknown" if value is None else format(value / unit, form)
