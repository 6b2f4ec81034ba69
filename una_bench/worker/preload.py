"""Imports of the fork server, shared by all cells.

Nothing here may compute: a thread started before a fork is lost in the child.
"""

from __future__ import annotations

import gc
import os
import signal

if os.environ.get("UNA_BENCH_WARM") == "1":
    # A signal to the process group must not end the fork server before its children.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from una_bench.training import (
        trl,
        una,  # noqa: F401
    )
    from una_bench.una import online, trainer  # noqa: F401

    # All trainers, or the imports of some would count as memory of their cells.
    trl.load()
    # Imported objects are never garbage: without this, each collection in a trainer walks all of them.
    gc.collect()
    gc.freeze()
