"""What the command line says on standard error beside progress: one message, made harmless."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

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
    """Where what runs inside is stopped at once, say how to go on with it.

    A request that meets a library's own code may come out as any error of that library: it is the request all the same.
    """
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, typer.Exit) or not (asked or isinstance(error, KeyboardInterrupt)):
            raise
        wrong(f"Interrupted. Finished cells are kept; the same command goes on from there: {command}")
        raise typer.Exit(STOPPED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(command: str, waiting: Sequence[str] = ()) -> typer.Exit:
    """Say how to go on with a run that stopped where it could, and return how to end.

    Args:
        command: What was called.
        waiting: Cells that no table shows yet, because they are trained and not evaluated.
    """
    kept = f" Trained, kept, and not evaluated yet: {', '.join(waiting)}." if waiting else ""
    wrong(f"Stopped.{kept} To go on: {command}")
    return typer.Exit(STOPPED)
