"""Standard output and error that outlast their reader: ``una-bench run … | head -1`` ends with its own status."""

from __future__ import annotations

import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any


class _Stream(FileIO):
    """File that discards what is written after the reader has closed the pipe."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def outlast_readers() -> None:
    """Let both streams replace characters that a terminal cannot show, and survive a closed pipe."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not be able to show an arrow
        if type(stream) is TextIOWrapper and isinstance(getattr(stream.buffer, "raw", stream.buffer), FileIO):
            stream.flush()
            file = BufferedWriter(_Stream(stream.fileno(), "wb", closefd=False))
            replaced = TextIOWrapper(file, stream.encoding, "replace", line_buffering=stream.line_buffering)
            setattr(sys, name, replaced)
