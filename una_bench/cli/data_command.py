"""Command `data`: how a file of preference data is read, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from una_bench.cli import launch, messages
from una_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from una_bench.problems.preference.inspection import Inspection, Shown

MOST_CHARACTERS = 1500
"""Characters of a text that are shown; the middle of a longer one is left out."""


def data(
    source: Annotated[str, typer.Argument(metavar="DATA", help="File, folder, or data set on the hub.")],
    model: Annotated[str, typer.Option(help="Model whose template and tokens to show: folder or name.")] = "",
    examples: Annotated[int, typer.Option(min=0, help="Examples to show.")] = 3,
    set_: launch.Changes = [],  # noqa: B006
    offline: launch.Offline = False,
) -> None:
    """Show how preference data is read: layout, what is left out, lengths in tokens, and what is trained on."""
    from una_bench.interfaces import registry
    from una_bench.problems.preference import inspection
    from una_bench.suite import overrides, recipe

    launch.begin("", offline)
    raw = {"problem": inspection.options(source, model)}
    changes = [overrides.parse(text) for text in set_]
    for key, _ in changes:
        if not key.startswith("problem."):
            raise UserError(f"--set {key}: only settings of the data (problem.…) matter here. Leave it out.")
    overrides.apply(raw, changes, ("problem",))
    problem = recipe.checked_settings(registry.problem_type("preference"), raw["problem"], "--set", "problem.")
    read = inspection.inspect(problem, model=bool(model), examples=examples, say=messages.note)
    _print(Console(highlight=False, soft_wrap=True), source, read)


def _print(console: Console, source: str, read: Inspection) -> None:
    console.print(Text(f"{source}: {read.rows} rows, read as {read.layout}"))
    for what, name in read.columns.items():
        console.print(Text(f"  {what:<15} column {name}"))
    for line in read.notes:
        console.print(Text(line))
    console.print("Feedback:")
    for kind, text in read.feedback.items():
        console.print(Text(f"  {kind:<15} {text}"))
    for what, lengths in read.lengths.items():
        console.print(Text(f"Tokens of a {what}: {_spread(lengths)}"))
    for number, one in enumerate(read.examples, start=1):
        _print_example(console, number, one)


def _spread(lengths: Sequence[int]) -> str:
    import numpy as np

    low, middle, most, high = np.quantile(lengths, [0, 0.5, 0.95, 1], method="inverted_cdf")
    return f"{low} to {high}, median {middle}, 95th percentile {most} ({len(lengths)} texts)"


def _print_example(console: Console, number: int, one: Shown) -> None:
    """Print an example; what is trained on is bold, and between marks where there is no color."""
    console.print(Text(f"\nExample {number}, from row {one.row}; trained on is what stands between ⟦ and ⟧", "dim"))
    console.print(Text(_short(one.prompt)))
    for judgment, text in one.responses:
        console.print(Text.assemble((f"{judgment}: ", "dim"), "⟦", (_short(text), "bold"), "⟧"))


def _short(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"
