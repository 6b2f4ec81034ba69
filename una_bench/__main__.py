"""The command `una-bench`, also as ``python -m una_bench``."""

import signal
import sys
from types import FrameType

STOPPED = 130
"""Exit status of what a user stopped: 128 and the signal's number."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Import the command line and run it; asked to stop before that is done, say so in one line."""
    signal.signal(signal.SIGTERM, _stop)  # what schedulers send means what a user's Ctrl-C means
    try:
        from una_bench.cli import app
    except KeyboardInterrupt:
        sys.stderr.write("una-bench: Stopped before anything began.\n")
        raise SystemExit(STOPPED) from None
    app.main()


if __name__ == "__main__":
    main()
