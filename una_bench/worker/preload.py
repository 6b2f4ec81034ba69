"""Imports of the fork server, shared by all cells.

``UNA_BENCH_PRELOAD`` names what the methods of a run declare (`una_bench.interfaces.method.Method.preload`).
Nothing here may compute: a thread started before a fork is lost in the child.
"""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from importlib import import_module

from una_bench.machine import environment

COMMON = (
    "datasets",
    "peft",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "una_bench.training.trl.reward",
)
"""Modules that every training imports, or the preparation of a suite."""

IF_INSTALLED = ("deepspeed",)
"""Packages that libraries import in the middle of a training just because they are there: 17 MiB of its memory."""

if os.environ.get("UNA_BENCH_WARM") == "1":
    # A signal to the process group must not end the fork server before its children.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in COMMON:
        import_module(name)
    for name in (*IF_INSTALLED, *filter(None, os.environ.get("UNA_BENCH_PRELOAD", "").split(","))):
        with suppress(Exception):  # not there, or the worker that imports it again reports the error
            import_module(name)
    for facts in (environment.machine, environment.packages, environment.code):
        facts()  # of all cells; each caches its answer
    # Imported objects are never garbage: without this, each collection in a trainer walks all of them.
    gc.collect()
    gc.freeze()
