"""The setting ``sharding`` of a recipe: a name, or what a file in DeepSpeed's or accelerate's format says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from una_bench.errors import nearest
from una_bench.interfaces.sharding import NAMES
from una_bench.suite import yaml_values

MOST_BYTES = 2**20
OF_RECIPE = {
    "optimizer": "the settings of each method",
    "scheduler": "the settings of each method",
    "gradient_clipping": "max_grad_norm",
    "train_batch_size": "batch_responses and processes",
    "train_micro_batch_size_per_gpu": "batch_responses and processes",
    "gradient_accumulation_steps": "per_device_train_batch_size",
    "fp16": "precision",
    "bf16": "precision",
    "amp": "precision",
    "torch_autocast": "precision",
}
"""Keys of a DeepSpeed file that the recipe decides, and by which of its own."""
_OF_PLUGIN = {
    "zero_stage": "stage",
    "offload_optimizer_device": "offload_optimizer",
    "offload_param_device": "offload_param",
}
"""Keys of accelerate's ``deepspeed_config`` and those of DeepSpeed's ``zero_optimization`` that they are."""
_OF_LAUNCHER = {"zero3_init_flag", "zero3_save_16bit_model"}
"""Keys of accelerate's ``deepspeed_config`` that change nothing here: una-bench loads and saves whole weights."""


def content(value: Any) -> Any:
    """Return a name as it is, and the content of a file in DeepSpeed's or accelerate's format.

    Raises:
        ValueError: It is neither, or holds what una-bench cannot train with or the recipe decides.
    """
    if isinstance(value, str) and value in NAMES:
        return value
    given = _read(Path(value)) if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise ValueError("give none, fsdp2, zero2, zero3, or a file in DeepSpeed's or accelerate's format")
    if "distributed_type" in given:
        given = _of_accelerate(given)
    if isinstance(given.get("fsdp_config"), Mapping):
        return dict(given)
    zero = given.get("zero_optimization")
    if not isinstance(zero, Mapping) or zero.get("stage") not in (1, 2, 3):
        raise ValueError("a DeepSpeed file needs zero_optimization with stage 1, 2 or 3: it divides nothing otherwise")
    for key in sorted(OF_RECIPE.keys() & given.keys()):
        off = isinstance(given[key], Mapping) and given[key].get("enabled") in (False, "auto")
        if given[key] != "auto" and not off:
            raise ValueError(f"its key '{key}' is decided by {OF_RECIPE[key]}: take it out of the file")
    return {key: value for key, value in given.items() if key not in OF_RECIPE}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(
            f"there is no file of that name.{nearest(str(path), list(NAMES))} Give {', '.join(NAMES)}, "
            "or a file in DeepSpeed's or accelerate's format"
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"the file has more than {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml_values.load(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"the file is no valid JSON or YAML: {' '.join(str(error).split())[:200]}") from None


def _of_accelerate(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of an accelerate configuration: of DeepSpeed as its own configuration, or of FSDP2."""
    if given.get("mixed_precision", "no") not in {"no", False}:
        raise ValueError("its key 'mixed_precision' is decided by precision: set it to 'no' in the file")
    if int(given.get("num_machines") or 1) != 1:
        raise ValueError("its key 'num_machines' must be 1: a cell trains on one machine")
    kind = str(given["distributed_type"]).upper()
    if kind == "FSDP":
        config = given.get("fsdp_config") or {}
        if int(config.get("fsdp_version") or 1) != 2:
            raise ValueError("its fsdp_config must have fsdp_version: 2, the only one that is supported")
        return {"fsdp_config": dict(config)}
    if kind != "DEEPSPEED":
        raise ValueError(f"its distributed_type is {kind}, which divides no states: use DEEPSPEED or FSDP")
    plugin = given.get("deepspeed_config") or {}
    if "deepspeed_config_file" in plugin:
        raise ValueError(f"its states are configured in {plugin['deepspeed_config_file']}: give that file instead")
    allowed = {*_OF_PLUGIN, *_OF_LAUNCHER, *OF_RECIPE}
    if unknown := sorted(set(plugin) - allowed):
        raise ValueError(f"its deepspeed_config has '{unknown[0]}', which is not supported: give DeepSpeed's own file")
    zero: dict[str, Any] = {"stage": plugin.get("zero_stage", 2)}
    for key in ("offload_optimizer_device", "offload_param_device"):
        if plugin.get(key, "none") != "none":
            zero[_OF_PLUGIN[key]] = {"device": plugin[key]}
    steps = {"gradient_accumulation_steps"} if plugin.get("gradient_accumulation_steps") == 1 else set()
    own = {key: plugin[key] for key in OF_RECIPE.keys() & plugin.keys() - steps}
    return {"zero_optimization": zero, **own}
