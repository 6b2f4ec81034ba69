"""The only part that knows TRL's API. Everything else asks this package.

`dpo` and `kto` train on given responses with what `offline` has for both, `ppo` trains PPO with what `scoring` wraps
around a reward, `reward` fits reward models, `sft` fine-tunes the common initial policy. Each module pulls in only the
TRL trainer that it uses.
"""

from __future__ import annotations

import os

# PPO lives in trl.experimental since 1.0, which warns at import; DESIGN says why it is used all the same.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
