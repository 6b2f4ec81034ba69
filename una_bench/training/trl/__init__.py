"""The only part that knows TRL's API. Everything else asks this package.

`dpo` and `kto` train on given responses with what `offline` has for both, `ppo` trains PPO with what `scoring` wraps
around a reward, `reward` fits reward models. Each module pulls in only the TRL trainer that it uses.
"""

from __future__ import annotations

import os
from importlib import import_module

# PPO lives in trl.experimental since 1.0, which warns at import; DESIGN says why it is used all the same.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


_NEEDED = (
    "datasets",
    "peft",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "trl.experimental.ppo",
    "trl.trainer.reward_trainer",
    "una_bench.training.trl.dpo",
    "una_bench.training.trl.kto",
    "una_bench.training.trl.ppo",
    "una_bench.training.trl.reward",
)


def load() -> None:
    """Import everything that a training needs, so that processes forked from this one need not."""
    for name in _NEEDED:
        import_module(name)
