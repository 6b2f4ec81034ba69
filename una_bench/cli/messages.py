"""Messages on standard error, with control characters removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer
from rich.console import Console
from rich.markup import escape

STOPPED = 130
"""Exit status of a command that a user or a scheduler stopped."""


def note(text: str) -> None:
    """Print one line."""
    typer.echo(text, err=True)


def wrong(message: str) -> None:
    """Print an error message."""
    shown = escape("".join(c if c.isprintable() or c == "\n" else "?" for c in message))
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold]una-bench:[/bold] {shown}")


@contextmanager
def stoppable(command: str) -> Iterator[None]:
    """Exit with a message on how to resume if a signal stops the code inside.

    The interrupt may surface as any error of the library that it interrupts.
    """
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, typer.Exit) or not (signals or isinstance(error, KeyboardInterrupt)):
            raise
        wrong(f"Interrupted. Finished cells are kept. To resume: {command}")
        raise typer.Exit(STOPPED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(command: str, waiting: Sequence[str] = ()) -> typer.Exit:
    """Print how to resume a stopped run, and return the exit; ``waiting`` are cells trained but not evaluated."""
    kept = f" Trained and kept, but not evaluated yet: {', '.join(waiting)}." if waiting else ""
    wrong(f"Stopped.{kept} To resume: {command}")
    return typer.Exit(STOPPED)
