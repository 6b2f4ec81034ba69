"""Made-up records of ladders: steps, memory and operations that a test can work out by hand."""

from __future__ import annotations

from typing import Any

import synthetic

from una_bench.record.schema import Better, Measurement, Record, StepSamples

PPO = {"responses_per_rollout": 4, "num_mini_batches": 1, "num_ppo_epochs": 1, "value_adapters": False}
ADAPTERS = {**PPO, "value_adapters": True}
RLOO = {"responses_per_rollout": 4, "num_iterations": 1}
ONLINE = {"responses_per_rollout": 4, "num_iterations": 1, "sampler": "transformers", "logits_chunk_size": 0}


def cell(
    method: str,
    settings: dict[str, Any],
    seconds: tuple[float, ...],
    *,
    seed: int = 0,
    peak: float = 8.0,
    **changes: Any,
) -> Record:
    """A training of steps of 4 responses each, 16 operations in all."""
    steps = StepSamples(seconds=seconds, responses=(4,) * len(seconds))
    name = "_".join(map(str, settings.values()))
    measured = (("memory.peak", "B", peak), ("compute.flops", "FLOP", 16.0))
    values = {
        "method": method,
        "variant": name,
        "label": method,
        "cell": f"{method}[{name}]-s{seed}",
        "key": f"{method}{name}{seed}",
        "settings": settings,
        "plain_steps": steps,
        "facts": {"responses_trained": 4 * len(seconds), "prepared": synthetic.PREPARED},
        "measurements": tuple(Measurement.one(n, unit, Better.LOWER, value, "") for n, unit, value in measured),
    }
    return synthetic.record("ppo", seed).model_copy(update={**values, **changes})


def online() -> list[Record]:
    """Two seeds of four rungs: 2, 2, 1, 0.5 and 3, 2, 2, 0.5 seconds per response."""
    found = []
    for seed, each in enumerate(((8.0, 8.0, 4.0, 2.0), (12.0, 8.0, 8.0, 2.0))):
        rungs = (("ppo", PPO, 8.0), ("ppo", ADAPTERS, 8.0), ("rloo", RLOO, 4.0), ("una_online", ONLINE, 2.0))
        found += [
            cell(method, settings, (99.0, seconds, seconds), seed=seed, peak=peak)
            for (method, settings, peak), seconds in zip(rungs, each, strict=True)
        ]
    return found
