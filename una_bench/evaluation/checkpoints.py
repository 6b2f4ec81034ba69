"""Loading of a trained policy for evaluation: a whole model, or adapters on the initial one."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from una_bench.models import weight_files

if TYPE_CHECKING:
    from una_bench.interfaces.benchmark import Checkpoint


def load_checkpoint(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return model (float32, evaluation mode) and tokenizer; benchmarks share them and must not change the weights."""
    return _load(checkpoint.path, checkpoint.prepared.policy, checkpoint.device)


@lru_cache(maxsize=1)
def load_initial(policy: Path, device: str) -> Any:
    """Return the initial policy (float32, evaluation mode), read once; callers must not change it."""
    return _read(policy, weight_files.loading(policy)).to(device).eval()


def _read(folder: Path, arguments: dict[str, bool]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **arguments)


@lru_cache(maxsize=1)
def _load(path: Path, initial: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    if path == initial:
        model = load_initial(initial, device)
    elif (path / "adapter_config.json").is_file():
        from peft import PeftModel

        # Merged into a copy: the next checkpoint needs the initial policy unchanged.
        model = PeftModel.from_pretrained(copy.deepcopy(load_initial(initial, device)), path).merge_and_unload()
    else:
        model = _read(path, weight_files.loading(initial))
    tokenizer = path if (path / "tokenizer_config.json").is_file() else initial
    return model.to(device).eval(), AutoTokenizer.from_pretrained(tokenizer, **weight_files.loading(initial))
