"""Helpers for methods that train under the instruments. Everything of TRL is in `una_bench.training.trl`.

What a method of your own needs is importable from here; deeper paths may move.
"""

from una_bench.training.common import (
    common_arguments,
    fit,
    instrument,
    load_policy,
    lora_config,
    record_facts,
    weights_sha256,
)

__all__ = [
    "common_arguments",
    "fit",
    "instrument",
    "load_policy",
    "lora_config",
    "record_facts",
    "weights_sha256",
]
