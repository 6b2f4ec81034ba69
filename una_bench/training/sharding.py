"""Sharded states of a training: the engine's configuration, and what it holds in this process.

DeepSpeed is configured through accelerate's environment variables: given to `transformers.TrainingArguments`, its
configuration would leave accelerate without a backend on processors, and each process would read all rows.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from una_bench.instruments.flops import shape_of
from una_bench.instruments.resident_memory import tensor_bytes, training_bytes
from una_bench.interfaces.sharding import is_fsdp, zero_stage
from una_bench.machine import processes

if TYPE_CHECKING:
    from una_bench.interfaces.method import Job

_AUTO = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
"""Keys of DeepSpeed's configuration that transformers takes from the training's arguments."""
_BUCKETS = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
"""Sizes that transformers takes from the model's width; DeepSpeed's own would be 2 GB for any model."""
_COPIES = ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat")
"""Attributes of DeepSpeed's optimizers with the copy of the weights that they update: of ZeRO-1 and 2, of ZeRO-3."""
_SHARED_MEMORY = "deepspeed_shm_comm"
"""DeepSpeed's operator for processors: it would need a compiler, and a killed build would block later ones."""


def arguments(job: Job) -> dict[str, Any]:
    """Return the arguments of `transformers.TrainingArguments` that shard a job's states; a collective call."""
    if is_fsdp(job.sharding):
        config = {"version": 2} if isinstance(job.sharding, str) else dict(job.sharding["fsdp_config"])
        return {"fsdp": True, "fsdp_config": config}
    if not zero_stage(job.sharding):
        return {}
    _configure_deepspeed(job)
    return {"use_cpu": False, "ddp_backend": "gloo" if job.device == "cpu" else None}


def _configure_deepspeed(job: Job) -> None:
    import deepspeed

    if job.device == "cpu":
        deepspeed.ops.__compatible_ops__[_SHARED_MEMORY] = False
    given = {} if isinstance(job.sharding, str) else dict(job.sharding)
    defaults = dict.fromkeys(_BUCKETS, "auto") | {"stage": zero_stage(job.sharding)}
    zero = defaults | given.pop("zero_optimization", {})
    zero["stage3_gather_16bit_weights_on_model_save"] = True  # "16bit" is the type of the weights, here float32
    file = job.out / "deepspeed.json"
    if processes.is_first():
        file.write_text(json.dumps(dict.fromkeys(_AUTO, "auto") | given | {"zero_optimization": zero}))
    processes.wait()
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"] = str(file)


def load_whole() -> None:
    """Let models be loaded whole, for their hashes and the reference pass; the trainer divides them afterwards."""
    from transformers.integrations import deepspeed

    deepspeed.unset_hf_deepspeed_config()


class Reader:
    """Gives the policy of a trainer with all its weights, which training may divide among processes."""

    def __init__(self, trainer: Any, *, reads: bool) -> None:
        """Prepare for it before training begins, if it ``reads`` at all."""
        from una_bench.una.whole_copy import WholeCopy, is_divided

        self.trainer = trainer
        self.copy = WholeCopy(trainer.model) if reads and is_divided(trainer) else None

    @contextmanager
    def policy(self) -> Iterator[Any]:
        """Give the policy, without wrapper; a collective call."""
        policy = self.trainer.accelerator.unwrap_model(self.trainer.model)
        if self.copy is None:
            yield policy
        else:
            with self.copy.filled(policy) as whole:
                yield whole


class Whole:
    """A model whose ``state_dict`` has all weights, wherever an engine keeps them."""

    def __init__(self, trainer: Any, model: Any) -> None:
        self.model = trainer.accelerator.unwrap_model(model)

    def state_dict(self) -> dict[str, Any]:
        """Return all weights; a collective call."""
        from una_bench.una.whole_copy import whole_state

        return whole_state(self.model)


def held_bytes(trainer: Any, **beside: Any) -> dict[str, int]:
    """Return the minimum bytes that this process held of weights, gradients, optimizer states and other models."""
    engine = getattr(trainer, "deepspeed", None)
    if engine is None and not trainer.is_fsdp_enabled:
        return training_bytes(trainer.model, trainer.optimizer, **beside)
    shares = processes.count() if engine is None or engine.zero_optimization_stage() > 1 else 1
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    states = [v for state in trainer.optimizer.state.values() for v in state.values() if hasattr(v, "data_ptr")]
    copies = [t for name in _COPIES for t in getattr(getattr(trainer.optimizer, "optimizer", None), name, ())]
    held = {
        "weights": _bytes([*trainer.model.parameters(), *trainer.model.buffers()]),
        "gradients": sum(math.prod(shape_of(p)) * p.element_size() for p in trained) // shares,
        "optimizer": _bytes([*states, *copies]),
    }
    models = {name: model for name, model in beside.items() if model is not None}
    return held | {name: _bytes([*model.parameters(), *model.buffers()]) for name, model in models.items()}


def _bytes(tensors: list[Any]) -> int:
    """Return the bytes of the parts of tensors that this process holds."""
    here = [t.to_local() if hasattr(t, "to_local") else getattr(t, "ds_tensor", t) for t in tensors]
    return tensor_bytes(here)
