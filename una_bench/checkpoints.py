"""Loads a trained policy for evaluation: a whole model, or adapters on the initial one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from una_bench.benchmark import Checkpoint


def load_checkpoint(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return model (float32, evaluation mode) and tokenizer; benchmarks that ask in turn share one copy.

    They must leave its weights as they are.
    """
    return _load(checkpoint.path, checkpoint.prepared.policy, checkpoint.device)


@lru_cache(maxsize=1)
def _load(path: Path, initial: Path, device: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapted = (path / "adapter_config.json").is_file()
    model = AutoModelForCausalLM.from_pretrained(initial if adapted else path, dtype=torch.float32)
    if adapted:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, path).merge_and_unload()
    own_tokenizer = (path / "tokenizer_config.json").is_file()
    return model.to(device).eval(), AutoTokenizer.from_pretrained(path if own_tokenizer else initial)
