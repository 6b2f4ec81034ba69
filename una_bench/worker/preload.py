"""What the fork server imports once, so that every cell starts with its imports paid and nothing else in memory.

Nothing here may compute: a thread started before a fork is lost in the child.
"""

from __future__ import annotations

import gc
import os
import signal

if os.environ.get("UNA_BENCH_WARM") == "1":
    # A signal to the whole process group must not take the fork server from under its children.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from una_bench.training import (
        trl,
        una,  # noqa: F401
    )
    from una_bench.una import online, trainer  # noqa: F401

    # All trainers alike, or the imports of some would count as memory of their cells.
    trl.load()
    # Objects of the imports are never garbage: without this each collection in a trainer walks all of them.
    gc.collect()
    gc.freeze()
