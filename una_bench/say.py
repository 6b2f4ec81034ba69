"""What the command line says on standard error beside progress: one message, made harmless."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

STOPPED = 130
"""Exit status of what a user or a scheduler stopped."""


def note(text: str) -> None:
    """Print one line."""
    typer.echo(text, err=True)


def wrong(message: str) -> None:
    """Print why a command ends here."""
    shown = escape("".join(c if c.isprintable() or c == "\n" else "?" for c in message))
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold]una-bench:[/bold] {shown}")


@contextmanager
def stoppable(command: str) -> Iterator[None]:
    """Where what runs inside is stopped at once, say how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        wrong(f"Interrupted. Finished cells are kept; the same command goes on from there: {command}")
        raise typer.Exit(STOPPED) from None


def stopped(command: str) -> typer.Exit:
    """Say how to go on with a run that stopped where it could, and return how to end."""
    wrong(f"Stopped. To go on: {command}")
    return typer.Exit(STOPPED)
