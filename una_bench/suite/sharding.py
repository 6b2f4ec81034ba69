"""Sharded states of a cell on several processes: what cannot be combined, and what a machine needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from una_bench.errors import UserError
from una_bench.interfaces.method import Feedback
from una_bench.interfaces.sharding import NONE, WEIGHTS, display, divided, is_fsdp, zero_stage

if TYPE_CHECKING:
    from una_bench.interfaces.method import Method
    from una_bench.suite.recipe import Recipe


def require(recipe: Recipe, name: str, method: Method) -> None:
    """Raise `UserError` where ``sharding`` would train a method otherwise, or not at all."""
    if recipe.sharding == NONE or method.feedback is Feedback.NONE:
        return
    what = f"sharding={display(recipe.sharding)}"
    if recipe.processes == 1:
        raise UserError(f"{what} divides states among processes, and there is one. Set processes, too.")
    if recipe.precision == "bfloat16":
        raise UserError(
            f"{what} with precision=bfloat16 would keep and add up bfloat16 numbers where other cells have float32. "
            "Use precision=float32, or sharding=none."
        )
    for reason in _misfits(recipe, method):
        raise UserError(f"{method.display} with {what}: {reason} Use sharding=none, or leave {name} out.")


def _misfits(recipe: Recipe, method: Method) -> Iterator[str]:
    """Yield why a method cannot be trained with sharded states."""
    settings, sharding = method.settings(), recipe.sharding
    precomputed = bool(settings.get("precompute_ref_log_probs"))
    if is_fsdp(sharding) and precomputed:
        yield "TRL 1.12 computes the reference before FSDP2 has the model: set precompute_ref_log_probs=false."
    if WEIGHTS in divided(sharding) and recipe.lora and settings.get("activation_checkpointing"):
        yield "peft's adapters on sharded weights cannot recompute activations: set activation_checkpointing=false."


def require_machine(recipe: Recipe, device: str) -> None:
    """Raise `UserError` where this machine cannot shard."""
    if device == "cpu" and is_fsdp(recipe.sharding):
        raise UserError(
            f"sharding={display(recipe.sharding)} needs accelerators: on processors Accelerate would train with whole "
            "states and not say so. Use zero2 or zero3, which run on processors, too."
        )
    if zero_stage(recipe.sharding) and find_spec("deepspeed") is None:
        raise UserError(
            f"sharding={display(recipe.sharding)} needs the package deepspeed. Install it: "
            "python -m pip install 'una-bench[deepspeed]'."
        )
