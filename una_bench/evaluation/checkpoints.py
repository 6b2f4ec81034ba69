"""Loads a trained policy for evaluation: a whole model, or adapters on the initial one."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.models import weight_files

if TYPE_CHECKING:
    from una_bench.interfaces.benchmark import Checkpoint


def load_checkpoint(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return model (float32, evaluation mode) and tokenizer; benchmarks that ask in turn share one copy.

    They must leave its weights as they are.
    """
    return _load(checkpoint.path, checkpoint.prepared.policy, checkpoint.device)


@lru_cache(maxsize=1)
def load_initial(policy: Path, device: str) -> Any:
    """Return the initial policy (float32, evaluation mode), read once; whoever asks must leave it as it is."""
    return _read(policy, weight_files.loading(policy)).to(device).eval()


def _read(folder: Path, own: dict[str, bool]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **own)


@lru_cache(maxsize=1)
def _load(path: Path, initial: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    if path == initial:
        model = load_initial(initial, device)
    elif (path / "adapter_config.json").is_file():
        from peft import PeftModel

        # Adapters are added to a copy in memory: the next checkpoint finds the initial policy as it was.
        model = PeftModel.from_pretrained(copy.deepcopy(load_initial(initial, device)), path).merge_and_unload()
    else:
        model = _read(path, weight_files.loading(initial))
    named = path if (path / "tokenizer_config.json").is_file() else initial
    return model.to(device).eval(), AutoTokenizer.from_pretrained(named, **weight_files.loading(initial))
